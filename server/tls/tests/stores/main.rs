//! Keys and certificates as `openssl` writes them, in the forms in which Kafka takes them; a handshake shows
//! that they are used.
//!
//! `pem/self-signed.pem` is the certificate of the key `pem/plain.pem`; the same key is encrypted in the
//! others, by `swordfish`. It lies open here, and is nobody's.

use std::path::PathBuf;
use std::sync::Arc;

use strandline_tls::rustls::pki_types::pem::PemObject;
use strandline_tls::rustls::pki_types::{CertificateDer, ServerName};
use strandline_tls::rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use strandline_tls::{PrincipalMapping, TlsSettings, acceptor, connector, subject};

fn path(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/stores/pem").join(name);
    path.to_str().unwrap().to_owned()
}

fn pem(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn settings(pairs: &[(&str, &str)]) -> TlsSettings {
    TlsSettings::of(|name| {
        pairs.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned())
    })
}

fn accepting(pairs: &[(&str, &str)]) -> Result<Arc<ServerConfig>, String> {
    let everybody = PrincipalMapping::parse("DEFAULT").unwrap();
    acceptor(&settings(pairs), &everybody).map_err(|error| error.to_string())
}

fn connecting(pairs: &[(&str, &str)]) -> Result<Arc<ClientConfig>, String> {
    connector(&settings(pairs)).map_err(|error| error.to_string())
}

/// Key and certificate inline, on one line each, as a properties file joins them.
fn inline(key: &str) -> [(&'static str, String); 3] {
    let joined = |name: &str| pem(name).lines().collect::<Vec<_>>().join(" ");
    [
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.certificate.chain", joined("self-signed.pem")),
        ("ssl.keystore.key", joined(key)),
    ]
}

fn with<'a>(pairs: &'a [(&'static str, String)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
    pairs.chain(more.iter().copied()).collect()
}

/// A handshake in memory. Why it failed, at whoever noticed it first.
fn shake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<Option<String>, String> {
    let server = shaken(server, client, name)?;
    Ok(server.peer_certificates().map(|chain| subject(&chain[0]).unwrap()))
}

fn shaken(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<ServerConnection, String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    for _ in 0..10 {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut &bytes[..]).unwrap();
        server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets().map_err(|error| format!("client: {error}"))?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(server)
}

/// The client's trust in the one certificate.
fn trusting() -> Vec<(&'static str, String)> {
    vec![("ssl.truststore.type", "PEM".to_owned()), ("ssl.truststore.location", path("self-signed.pem"))]
}

#[test]
fn a_key_is_read_in_every_form_in_which_openssl_writes_it() {
    let client = connecting(&with(&trusting(), &[])).unwrap();
    for (key, password) in
        [("plain.pem", None), ("encrypted-key.pem", Some("swordfish")), ("scrypt-key.pem", Some("swordfish"))]
    {
        let password = password.map(|password| ("ssl.key.password", password));
        let inline = inline(key);
        let server =
            accepting(&with(&inline, password.as_slice())).unwrap_or_else(|error| panic!("{key}: {error}"));
        // It signed itself, and stands in the store.
        assert_eq!(shake(&server, &client, "localhost"), Ok(None), "{key}");
    }
}

#[test]
fn a_key_that_cannot_be_used_is_refused_by_the_name_of_its_setting_and_no_secret() {
    let refused = |key: &str, more: &[(&str, &str)]| {
        let inline = inline(key);
        let said = accepting(&with(&inline, more)).unwrap_err();
        assert!(!said.contains("swordfish") && !said.contains("MI"), "{said}");
        said
    };
    assert_eq!(
        refused("encrypted-key.pem", &[]),
        "ssl.key.password: it is not set, and the private key is encrypted"
    );
    let wrong = [("ssl.key.password", "sardine")];
    assert!(
        refused("encrypted-key.pem", &wrong)
            .starts_with("ssl.key.password: the private key can not be decrypted")
    );
    assert!(refused("old-encryption.pem", &[]).contains("openssl pkcs8 -topk8"));
    assert!(refused("self-signed.pem", &[]).starts_with("ssl.keystore.key: no private key stands there"));
    assert!(refused("plain.pem", &[("ssl.keystore.location", &path("plain.pem"))]).contains("one of both"));
    assert!(
        refused("plain.pem", &[("ssl.keystore.password", "swordfish")])
            .starts_with("ssl.keystore.password: a PEM")
    );
    assert!(
        refused("plain.pem", &[("ssl.enabled.protocols", "TLSv1.1,TLSv1.2")])
            .contains("TLSv1.1 is not spoken")
    );
    assert!(refused("plain.pem", &[("ssl.cipher.suites", "TLS_NULL")]).contains("TLS_AES_256_GCM_SHA384"));
    assert!(refused("plain.pem", &[("ssl.client.auth", "required")]).contains("ssl.truststore.location"));
    let trust = [("ssl.client.auth", "required"), ("ssl.truststore.location", &path("self-signed.pem"))];
    assert!(refused("plain.pem", &trust).starts_with("ssl.truststore.type: it is JKS, and the store is PEM"));
    let trust =
        [&trust[..], &[("ssl.truststore.type", "PEM"), ("ssl.truststore.password", "swordfish")]].concat();
    assert!(refused("plain.pem", &trust).starts_with("ssl.truststore.password: a PEM has no password"));
    let nothing = accepting(&[]).unwrap_err();
    assert!(nothing.starts_with("ssl.keystore.location: a listener with TLS needs a key"), "{nothing}");
    let half = inline("plain.pem");
    assert!(accepting(&with(&half[..2], &[])).unwrap_err().contains("come together"));
}

#[test]
fn a_store_of_javas_is_refused_with_the_line_that_converts_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]).unwrap();
    let store = file.path().to_str().unwrap();
    let said =
        |kind: &[(&str, &str)]| accepting(&[&[("ssl.keystore.location", store)], kind].concat()).unwrap_err();
    let expected = format!(
        "ssl.keystore.type: stores of type PEM are read, and this one is PKCS12. Convert it once, and set the type \
         to PEM: openssl pkcs12 -in {store} -out {store}.pem"
    );
    assert_eq!(said(&[("ssl.keystore.type", "PKCS12")]), expected);
    let java = said(&[]);
    assert!(java.contains(&format!("keytool -importkeystore -srckeystore {store}")), "{java}");
    assert!(java.contains(&format!("openssl pkcs12 -in {store}.p12 -out {store}.pem")), "{java}");
    let pem = path("plain.pem");
    let unsaid = accepting(&[("ssl.keystore.location", &pem)]).unwrap_err();
    assert_eq!(unsaid, "ssl.keystore.type: it is JKS, and the store is PEM: set it to PEM");
    std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----").unwrap();
    assert!(said(&[("ssl.keystore.type", "PEM")]).contains("block 1 is no PEM"));
    std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----\nAAAA").unwrap();
    assert!(said(&[("ssl.keystore.type", "PEM")]).contains("block 1 is no PEM"));
}

#[test]
fn a_client_trusts_whom_it_was_told_to_by_the_name_that_it_asked_for() {
    let server = inline("plain.pem");
    let server = accepting(&with(&server, &[])).unwrap();
    let trusting = trusting();
    let client = connecting(&with(&trusting, &[])).unwrap();
    assert_eq!(shake(&server, &client, "127.0.0.1"), Ok(None));
    assert!(shake(&server, &client, "elsewhere").unwrap_err().contains("not valid for name"));
    let careless = connecting(&with(&trusting, &[("ssl.endpoint.identification.algorithm", "")])).unwrap();
    assert_eq!(shake(&server, &careless, "elsewhere"), Ok(None));
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let other = [("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", &other)];
    let said = shake(&server, &connecting(&other).unwrap(), "localhost").unwrap_err();
    assert!(said.starts_with("client: invalid peer certificate"), "{said}");
}

#[test]
fn versions_and_suites_are_those_that_both_sides_allow() {
    let (inline, trusting) = (inline("plain.pem"), trusting());
    let known = |server: &[(&str, &str)], client: &[(&str, &str)]| {
        let server = accepting(&with(&inline, server)).unwrap();
        shake(&server, &connecting(&with(&trusting, client)).unwrap(), "localhost")
    };
    let only = |version| [("ssl.enabled.protocols", version)];
    for version in ["TLSv1.2", "TLSv1.3"] {
        assert_eq!(known(&only(version), &[]), Ok(None));
        assert_eq!(known(&[], &only(version)), Ok(None));
    }
    assert!(known(&only("TLSv1.3"), &only("TLSv1.2")).is_err());
    let suites = [("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")];
    assert_eq!(known(&suites, &[("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256")]), Ok(None));
    assert!(known(&suites, &[("ssl.cipher.suites", "TLS_AES_256_GCM_SHA384")]).is_err());
}

#[test]
fn of_the_suites_that_both_sides_have_the_first_of_the_server_is_taken() {
    let (inline, trusting) = (inline("plain.pem"), trusting());
    let names = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    for first in 0..3 {
        let turned = |by: usize| (0..3).map(|at| names[(at + by) % 3]).collect::<Vec<_>>().join(",");
        let server = accepting(&with(&inline, &[("ssl.cipher.suites", &turned(first))])).unwrap();
        let client = connecting(&with(&trusting, &[("ssl.cipher.suites", &turned(first + 1))])).unwrap();
        let session = shaken(&server, &client, "localhost").unwrap();
        let taken = format!("{:?}", session.negotiated_cipher_suite().unwrap().suite());
        assert_eq!(taken.replace("TLS13_", "TLS_"), names[first]);
    }
}

#[test]
fn a_client_is_known_by_the_subject_of_a_certificate_that_is_trusted() {
    let (inline, trusting) = (inline("plain.pem"), trusting());
    let shown = with(&trusting, &[]);
    let asking = |word| {
        let more = [shown.as_slice(), &[("ssl.client.auth", word)]].concat();
        accepting(&with(&inline, &more)).unwrap()
    };
    let (nobody, truck) = (connecting(&shown).unwrap(), connecting(&with(&inline, &shown)).unwrap());
    let subject = "CN=truck-7,O=Example\\, Inc.,C=DE".to_owned();
    assert_eq!(shake(&asking("required"), &truck, "localhost"), Ok(Some(subject.clone())));
    assert_eq!(shake(&asking("requested"), &truck, "localhost"), Ok(Some(subject)));
    assert_eq!(shake(&asking("requested"), &nobody, "localhost"), Ok(None));
    assert_eq!(shake(&asking("none"), &truck, "localhost"), Ok(None));
    assert!(shake(&asking("required"), &nobody, "localhost").is_err());
    // Another key than the certificate's is not signed with.
    let stranger = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
    let (chain, key) = (stranger.cert.pem(), stranger.signing_key.serialize_pem());
    let own = [
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.certificate.chain", &chain),
        ("ssl.keystore.key", &key),
    ];
    let stranger = connecting(&[&shown[..], &own].concat()).unwrap();
    assert!(shake(&asking("required"), &stranger, "localhost").is_err());
    assert!(shake(&asking("requested"), &stranger, "localhost").is_err(), "shown, and not trusted");
}

/// `pem/names.pem` has certificates of `openssl`; this is what Java's `X500Principal.getName()` says of them.
#[test]
fn a_subject_is_written_as_java_writes_it() {
    let expected = [
        r"OU=a,O=Example\, Inc.,L=München,ST=Bayern,C=DE",
        r#"STREET=S 1,2.5.4.12=#0c024472,2.5.4.5=#13023132,DC=org,UID=u1,1.2.840.113549.1.9.1=#16056140622e63,CN=\ lead \#x\;y\<z\>\"q\"\="#,
        "O=x,CN=a+OU=b",
        r"O=back\\slash,CN=trail\ \ ",
        r"2.5.4.4=#0c03737572,2.5.4.42=#0c05676976656e,CN=\#hash",
    ];
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem("names.pem").as_bytes()).collect();
    let found = certificates.into_iter().map(|found| subject(&found.unwrap()).unwrap());
    assert!(found.eq(expected));
    assert!(subject(&CertificateDer::from(b"\x30\x03\x02\x01\x01".to_vec())).is_err());
}
