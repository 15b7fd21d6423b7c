//! Which tests see the effects of the settings of TLS.

/// As the table of all others.
pub(super) const SEEN: &[(&str, &str, &str, &str)] = &[
    ("ssl.cipher.suites", STORES, VERSIONS, "ssl.cipher.suites"),
    (
        "ssl.client.auth",
        TLS,
        "a_client_is_let_in_by_its_certificate_and_called_as_the_rules_say",
        "ssl.client.auth",
    ),
    ("ssl.enabled.protocols", STORES, VERSIONS, "ssl.enabled.protocols"),
    (
        "ssl.key.password",
        STORES,
        "a_key_is_read_in_every_form_in_which_openssl_writes_it",
        "ssl.key.password",
    ),
    ("ssl.keystore.certificate.chain", STORES, "inline", "ssl.keystore.certificate.chain"),
    ("ssl.keystore.key", STORES, "inline", "ssl.keystore.key"),
    (
        "ssl.keystore.location",
        TLS,
        "keys_are_replaced_while_it_runs_and_a_pair_that_cannot_be_used_replaces_none",
        "ssl.keystore.location",
    ),
    ("ssl.keystore.password", STORES, UNUSABLE, "ssl.keystore.password"),
    (
        "ssl.keystore.type",
        STORES,
        "a_store_of_javas_is_refused_with_the_line_that_converts_it",
        "ssl.keystore.type",
    ),
    (
        "ssl.principal.mapping.rules",
        TLS,
        "a_client_is_let_in_by_its_certificate_and_called_as_the_rules_say",
        "ssl.principal.mapping.rules",
    ),
    (
        "ssl.truststore.certificates",
        STORES,
        "a_client_trusts_whom_it_was_told_to_by_the_name_that_it_asked_for",
        "ssl.truststore.certificates",
    ),
    ("ssl.truststore.location", STORES, "trusting", "ssl.truststore.location"),
    ("ssl.truststore.password", STORES, UNUSABLE, "ssl.truststore.password"),
    ("ssl.truststore.type", STORES, UNUSABLE, "ssl.truststore.type"),
];

const TLS: &str = "server/tests/scenarios/tls.rs";
const STORES: &str = "server/tls/tests/stores/main.rs";
const VERSIONS: &str = "versions_and_suites_are_those_that_both_sides_allow";
const UNUSABLE: &str = "a_key_that_cannot_be_used_is_refused_by_the_name_of_its_setting_and_no_secret";
