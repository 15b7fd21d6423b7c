//! rskafka as ../talk.py wants it. It has partitions, no groups: what is to be read by a group is read from the
//! partition, and nothing is committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rskafka::BackoffConfig;
use rskafka::chrono::{DateTime, Utc};
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{ClientBuilder, Credentials, OauthBearerCredentials, SaslConfig};
use rskafka::record::Record;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const PAUSE: Duration = Duration::from_millis(200);
/// It tries again for as long, and tells then why it had to.
const TRIES: Duration = Duration::from_secs(5);
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
/// The port of HTTP is in the URL.
const SCHEME: &str = "http://";

/// What is told of a refusal: Kafka's code, the kind of it, and the words.
struct Refused(Option<i16>, &'static str, String);

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        let code = match &error {
            Error::ServerError { protocol_error: ProtocolError::TopicAuthorizationFailed, .. } => {
                Some(TOPIC_AUTHORIZATION_FAILED)
            }
            _ => None,
        };
        Refused(code, "error", error.to_string())
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        Refused(None, "program", failure.to_string())
    }
}

struct Spec(Value);

impl Spec {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_default()
    }

    fn tls(&self) -> Result<rustls::ClientConfig, Failure> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.text("ca").unwrap_or_default())? {
            roots.add(certificate?)?;
        }
        let config = rustls::ClientConfig::builder().with_root_certificates(roots);
        let (Some(chain), Some(key)) = (self.text("certificate"), self.text("key")) else {
            return Ok(config.with_no_client_auth());
        };
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<_, _>>()?;
        Ok(config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?)
    }

    fn sasl(&self) -> Option<SaslConfig> {
        if let (Some(user), Some(password)) = (self.text("user"), self.text("password")) {
            return Some(SaslConfig::ScramSha512(Credentials::new(user.to_owned(), password.to_owned())));
        }
        let url = self.text("token_url")?.to_owned();
        Some(SaslConfig::Oauthbearer(OauthBearerCredentials {
            callback: Arc::new(move || Box::pin(token(url.clone()))),
            authz_id: None,
            bearer_kvs: Vec::new(),
        }))
    }

    async fn partition(&self) -> Result<PartitionClient, Refused> {
        let backoff = BackoffConfig {
            max_backoff: Duration::from_millis(500),
            deadline: Some(TRIES),
            ..Default::default()
        };
        let mut builder = ClientBuilder::new(vec![self.text("bootstrap").unwrap_or_default().to_owned()])
            .backoff_config(backoff)
            .tls_config(Arc::new(self.tls()?));
        if let Some(sasl) = self.sasl() {
            builder = builder.sasl_config(sasl);
        }
        let client = builder.build().await?;
        let topic = self.text("topic").unwrap_or_default();
        Ok(client.partition_client(topic, 0, UnknownTopicHandling::Error).await?)
    }
}

async fn token(url: String) -> Result<String, Failure> {
    let place = url.strip_prefix(SCHEME).ok_or("an http:// URL")?;
    let (host, path) = place.split_once('/').ok_or("a path")?;
    let mut stream = TcpStream::connect(host).await?;
    stream
        .write_all(format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("a body")?;
    let told: Value = serde_json::from_str(body)?;
    Ok(told["access_token"].as_str().ok_or("a token")?.to_owned())
}

/// To the millisecond, like the records.
fn now() -> DateTime<Utc> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    DateTime::from_timestamp_millis(now.as_millis() as i64).unwrap_or_default()
}

async fn send(partition: &PartitionClient, number: u64) -> Result<(), Refused> {
    let value = Some(number.to_string().into_bytes());
    let record = Record { key: None, value, headers: BTreeMap::new(), timestamp: now() };
    partition.produce(vec![record], Compression::NoCompression).await?;
    Ok(())
}

async fn produce(spec: &Spec) -> Result<Value, Refused> {
    let partition = spec.partition().await?;
    let count = spec.number("records");
    for number in 0..count {
        send(&partition, number).await?;
    }
    Ok(json!({ "did": "produce", "count": count }))
}

/// Reads what there is from an offset on, behind what was found.
async fn read(partition: &PartitionClient, offset: &mut i64, found: &mut Vec<u64>) -> Result<(), Refused> {
    let (records, _) = partition.fetch_records(*offset, 1..1_000_000, 500).await?;
    for record in records {
        *offset = record.offset + 1;
        let value = record.record.value.unwrap_or_default();
        let number = String::from_utf8_lossy(&value).parse();
        found.push(number.map_err(|_| Refused(None, "order", format!("{value:?} is no number")))?);
    }
    Ok(())
}

async fn consume(spec: &Spec) -> Result<Value, Refused> {
    let partition = spec.partition().await?;
    let (count, mut offset, mut found) = (spec.number("records"), 0, Vec::new());
    while (found.len() as u64) < count {
        read(&partition, &mut offset, &mut found).await?;
    }
    match found == (0..count).collect::<Vec<_>>() {
        true => Ok(json!({ "did": "consume", "count": count, "committed": null })),
        false => Err(Refused(None, "order", format!("{found:?}"))),
    }
}

async fn hold(spec: &Spec) -> Result<Value, Refused> {
    let writer = async {
        let (partition, began, mut sent) = (spec.partition().await?, Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(spec.number("seconds")) {
            send(&partition, sent).await?;
            sent += 1;
            sleep(PAUSE).await;
        }
        Ok::<u64, Refused>(sent)
    };
    // On a connection of its own.
    let reader = spec.partition().await?;
    let (mut offset, mut found, mut sent) = (0, Vec::new(), None);
    let mut writer = std::pin::pin!(writer);
    while sent.is_none_or(|sent| !found.contains(&(sent - 1))) {
        tokio::select! {
            done = &mut writer, if sent.is_none() => sent = Some(done?),
            done = read(&reader, &mut offset, &mut found) => done?,
        }
    }
    let sent = sent.unwrap_or_default();
    // What is cut and connects again may write a record once more.
    let mut once: Vec<u64> = Vec::new();
    for number in found {
        if !once.contains(&number) {
            once.push(number);
        }
    }
    match once == (0..sent).collect::<Vec<_>>() {
        true => Ok(json!({ "did": "hold", "count": sent })),
        false => Err(Refused(None, "order", format!("{sent} were sent, and these came: {once:?}"))),
    }
}

/// Tells what came of it; whether it was done.
async fn attempt(act: &str, patience: Duration, run: impl Future<Output = Result<Value, Refused>>) -> bool {
    let began = Instant::now();
    let done = timeout(patience, run).await;
    let late = || Refused(None, "nothing", format!("neither done nor refused in {} s", patience.as_secs()));
    match done.unwrap_or_else(|_| Err(late())) {
        Ok(told) => {
            println!("{told}");
            true
        }
        Err(Refused(code, name, text)) => {
            let seconds = began.elapsed().as_secs_f64();
            println!(
                "{}",
                json!({ "refused": act, "code": code, "name": name, "text": text, "seconds": seconds })
            );
            false
        }
    }
}

#[tokio::main]
async fn main() {
    let spec = std::env::args().nth(1).expect("a place and what to do there");
    let spec = Spec(serde_json::from_str(&spec).expect("it is JSON"));
    let patience = Duration::from_secs(spec.number("patience"));
    let act = spec.text("do").unwrap_or_default();
    if ["produce", "talk"].contains(&act) && !attempt("produce", patience, produce(&spec)).await {
        return;
    }
    if ["consume", "talk"].contains(&act) {
        attempt("consume", patience, consume(&spec)).await;
    }
    if act == "hold" {
        attempt("hold", patience + Duration::from_secs(spec.number("seconds")), hold(&spec)).await;
    }
}
