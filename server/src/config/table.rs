//! The table of the broker's settings: name, form, default, whether it may change while the broker runs, and
//! what it is for.

use strandline_engine::config::ConfigBounds::{Any, Fraction, Only, Whole, Words, WordsOfAnyCase};
use strandline_engine::config::{ConfigKind, ConfigMode, ReactorChoice, TOPIC_CONFIGS, TopicConfigEntry};

use super::without_effect::{self, WITHOUT_EFFECT};

macro_rules! entries {
    ($($name:literal $kind:ident $($mode:ident)? = $default:tt, $bounds:expr; $doc:literal)*) => {
        /// Every setting of the broker that has an effect and is not the default of a topic setting, by name.
        /// Those marked `dynamic` may change while the broker runs: those of Kafka's that do.
        pub const BROKER_CONFIGS: &[TopicConfigEntry] = &[$(TopicConfigEntry {
            name: $name,
            broker_name: Some($name),
            kind: ConfigKind::$kind,
            default: without_effect::default_value!($default),
            bounds: $bounds,
            mode: without_effect::mode!($($mode)?),
            has_effect: true,
            doc: $doc,
        }),*];
    };
}

entries! {
    "add.partitions.to.txn.retry.backoff.max.ms" Int = "100", Whole(0, i32::MAX as i64);
        "How long a produce request waits for the transaction before its own to be ended."
    "add.partitions.to.txn.retry.backoff.ms" Int = "20", Whole(1, i32::MAX as i64);
        "How long it waits before it looks again whether that has ended."
    "advertised.listeners" List = null, Any;
        "Where clients of each listener are told to connect to: NAME://HOST:PORT,... with the names of listeners. One that is not among them is open, and its clients are told of no broker. Default: listeners."
    "allow.everyone.if.no.acl.found" Bool = "false", Any;
        "Whether everybody may do everything with a resource that no rule is about. It is Kafka's authorizer that has this setting."
    "authorizer.class.name" Text = "", Any;
        "Who is asked whether a client may do what it asks for: nobody, or with org.apache.kafka.metadata.authorizer.StandardAuthorizer the rules that CreateAcls makes, by which this broker decides as that does."
    "auto.create.topics.enable" Bool = "true", Any; "Whether asking for a topic creates it."
    "background.time.share" Double = "0.1", Fraction(0.001, 1.0);
        "Part of each thread's time that compaction and scrub may take while the thread has other work; up to a half while compaction falls behind. Not in Kafka."
    "broker.id" Int = "-1", Whole(-1, i32::MAX as i64); "The old name of node.id; -1 for none."
    "broker.rack" Text = null, Any; "The rack that clients are told this node stands in."
    "connection.failed.authentication.delay.ms" Int = "100", Whole(0, i32::MAX as i64);
        "How long a client waits for the answer that it is not believed."
    "connections.max.idle.ms" Long = "600000", Whole(1, i64::MAX);
        "Time after which a silent connection is closed. A fetch waits for half of it at most, whatever it asks for."
    "connections.max.reauth.ms" Long = "0", Any;
        "How long a client is known by what it has proven; one that does not prove it again in time is cut at its next request (KIP-368). 0 or less for as long as it is connected. A listener has its own as listener.name.NAME.connections.max.reauth.ms, and a mechanism of it as listener.name.NAME.MECHANISM.connections.max.reauth.ms, in lower case."
    "controller.listener.names" List = "", Any;
        "Listeners that are for controllers: a single node needs none, and passes over theirs."
    "controller.quorum.voters" List = "", Any; "The controllers: this node alone, as ID@HOST:PORT, or nothing."
    "controller.quota.window.num" Int = "11", Whole(1, i32::MAX as i64);
        "Windows' worth of its controller_mutation_rate that a client may use at once; more than 3600 are 3600."
    "controller.quota.window.size.seconds" Int = "1", Whole(1, i32::MAX as i64); "How long each of them is."
    "default.replication.factor" Int = "1", Only("1", "a single node keeps one replica");
        "Replicas of a topic that says nothing: a single node keeps one."
    "delete.topic.enable" Bool = "true", Any; "Whether topics may be deleted."
    "errors.deadletterqueue.auto.create.topics.enable" Bool dynamic = "false", Any;
        "Whether the dead letter queue of a share group is created when the first dead letter goes there (KIP-1191): with num.partitions, and with errors.deadletterqueue.group.enable."
    "errors.deadletterqueue.topic.name.prefix" Text dynamic = "dlq.", Any;
        "What the name of a dead letter queue of a share group begins with: dead letters go to no other topic (KIP-1191). Empty allows any that does not begin with __."
    "fetch.max.bytes" Int = "57671680", Whole(1024, i32::MAX as i64); "Largest answer to a fetch."
    "group.consumer.assignment.interval.ms" Int dynamic = "1000", Whole(0, i32::MAX as i64);
        "How long it is at least from one sharing out of a consumer group's partitions to the next: members that come meanwhile are taken together."
    "group.consumer.assignors" List = "uniform,range", Any;
        "How partitions of consumer groups are shared out where the members prefer none: the first of these. uniform and range, which members may prefer whatever stands here, are all there are."
    "group.consumer.heartbeat.interval.ms" Int = "5000", Whole(1, i32::MAX as i64);
        "How often a member of a consumer group says that it is alive."
    "group.consumer.max.assignment.interval.ms" Int = "15000", Whole(0, i32::MAX as i64);
        "Longest assignment interval of a consumer group."
    "group.consumer.max.heartbeat.interval.ms" Int = "15000", Whole(1, i32::MAX as i64);
        "Longest heartbeat interval of a consumer group."
    "group.consumer.max.session.timeout.ms" Int = "60000", Whole(1, i32::MAX as i64);
        "Longest session of the members of a consumer group."
    "group.consumer.max.size" Int = "2147483647", Whole(1, i32::MAX as i64); "Most members of a consumer group."
    "group.consumer.migration.policy" Text =
        "bidirectional", WordsOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]);
        "Which way a group may change its protocol while members are in it: from the classic one to that of consumer groups (upgrade), back (downgrade), both, or neither. With disabled no group has members of both."
    "group.consumer.min.assignment.interval.ms" Int = "0", Whole(0, i32::MAX as i64);
        "Shortest assignment interval of a consumer group."
    "group.consumer.min.heartbeat.interval.ms" Int = "5000", Whole(1, i32::MAX as i64);
        "Shortest heartbeat interval of a consumer group."
    "group.consumer.min.session.timeout.ms" Int = "45000", Whole(1, i32::MAX as i64);
        "Shortest session of the members of a consumer group."
    "group.consumer.session.timeout.ms" Int = "45000", Whole(1, i32::MAX as i64);
        "How long a member of a consumer group may be silent before it is taken out."
    "group.initial.rebalance.delay.ms" Int = "3000", Whole(0, i32::MAX as i64);
        "How long the first rebalance of an empty group waits for more members."
    "group.max.session.timeout.ms" Int = "1800000", Whole(1, i32::MAX as i64); "Longest session of a member."
    "group.max.size" Int = "2147483647", Whole(1, i32::MAX as i64); "Most members of a group."
    "group.min.session.timeout.ms" Int = "6000", Whole(1, i32::MAX as i64); "Shortest session of a member."
    "group.share.delivery.count.limit" Int = "5", Whole(2, 10);
        "How often a record is given out to a share group before it is archived."
    "group.share.heartbeat.interval.ms" Int = "5000", Whole(1, i32::MAX as i64);
        "How often a member of a share group says that it is alive."
    "group.share.max.delivery.count.limit" Int = "10", Whole(5, 25);
        "Most deliveries of a record that a share group may ask for."
    "group.share.max.heartbeat.interval.ms" Int = "15000", Whole(1, i32::MAX as i64);
        "Longest heartbeat interval of a share group."
    "group.share.max.partition.max.record.locks" Int = "4000", Whole(2000, 10000);
        "Most records of a partition under way that a share group may ask for."
    "group.share.max.record.lock.duration.ms" Int = "60000", Whole(30000, 3600000);
        "Longest time that a share group may leave its members a record."
    "group.share.max.session.timeout.ms" Int = "60000", Whole(1, i32::MAX as i64);
        "Longest session of the members of a share group."
    "group.share.max.share.sessions" Int = "2000", Whole(1, i32::MAX as i64);
        "Most share sessions at a time; a client that finds none is told to wait."
    "group.share.max.size" Int = "200", Whole(1, 1000);
        "Most members of a share group."
    "group.share.min.delivery.count.limit" Int = "2", Whole(2, 5);
        "Fewest deliveries of a record that a share group may ask for."
    "group.share.min.heartbeat.interval.ms" Int = "5000", Whole(1, i32::MAX as i64);
        "Shortest heartbeat interval of a share group."
    "group.share.min.partition.max.record.locks" Int = "100", Whole(100, 2000);
        "Fewest records of a partition under way that a share group may ask for."
    "group.share.min.record.lock.duration.ms" Int = "15000", Whole(1000, 30000);
        "Shortest time that a share group may leave its members a record."
    "group.share.min.session.timeout.ms" Int = "45000", Whole(1, i32::MAX as i64);
        "Shortest session of the members of a share group."
    "group.share.partition.max.record.locks" Int = "2000", Whole(100, 10000);
        "Most records of a partition that a share group has under way, from the first that is not done with on."
    "group.share.record.lock.duration.ms" Int = "30000", Whole(1000, 3600000);
        "How long a member of a share group has a record before somebody else may have it."
    "group.share.session.timeout.ms" Int = "45000", Whole(1, i32::MAX as i64);
        "How long a member of a share group may be silent before it is taken out."
    "group.streams.assignment.interval.ms" Int dynamic = "1000", Whole(0, i32::MAX as i64);
        "How long it is at least from one sharing out of a streams group's tasks to the next: members that come meanwhile are taken together."
    "group.streams.heartbeat.interval.ms" Int = "5000", Whole(1, i32::MAX as i64);
        "How often a member of a streams group says that it is alive."
    "group.streams.initial.rebalance.delay.ms" Int = "3000", Whole(0, i32::MAX as i64);
        "How long an empty streams group waits for more members than the first before tasks are shared out."
    "group.streams.max.assignment.interval.ms" Int = "15000", Whole(0, i32::MAX as i64);
        "Longest assignment interval of a streams group."
    "group.streams.max.heartbeat.interval.ms" Int = "15000", Whole(1, i32::MAX as i64);
        "Longest heartbeat interval of a streams group."
    "group.streams.max.session.timeout.ms" Int = "60000", Whole(1, i32::MAX as i64);
        "Longest session of the members of a streams group."
    "group.streams.max.size" Int = "2147483647", Whole(1, i32::MAX as i64); "Most members of a streams group."
    "group.streams.max.standby.replicas" Int = "2", Whole(0, i32::MAX as i64);
        "Most members of a streams group that stand by a task."
    "group.streams.min.assignment.interval.ms" Int = "0", Whole(0, i32::MAX as i64);
        "Shortest assignment interval of a streams group."
    "group.streams.min.heartbeat.interval.ms" Int = "5000", Whole(1, i32::MAX as i64);
        "Shortest heartbeat interval of a streams group."
    "group.streams.min.session.timeout.ms" Int = "45000", Whole(1, i32::MAX as i64);
        "Shortest session of the members of a streams group."
    "group.streams.num.standby.replicas" Int = "0", Whole(0, i32::MAX as i64);
        "How many members of a streams group stand by each task that has a state, with a copy of it."
    "group.streams.session.timeout.ms" Int = "45000", Whole(1, i32::MAX as i64);
        "How long a member of a streams group may be silent before it is taken out."
    "http.listen" Text = null, Any; "Where the HTTP front answers (REST, metrics and health): HOST:PORT. Default: nowhere. Not in Kafka."
    "http.listener.name" Text = "", Any;
        "The listener whose protocol, users, certificates and limits of connections the HTTP front has: with SASL, clients come by HTTP Basic or a bearer token; with TLS, by https. Default: the first. Not in Kafka."
    "listener.security.protocol.map" Text =
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Any;
        "The protocol of each listener, as NAME:PROTOCOL: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    "listeners" List = "PLAINTEXT://127.0.0.1:9092", Any;
        "Where to listen: NAME://HOST:PORT,... for clients; those of controllers are passed over. A client is told the addresses of the listener that it came in by."
    "log.cleaner.backoff.ms" Long dynamic = "15000", Whole(0, i64::MAX); "How long the cleaner waits that has found nothing to compact."
    "log.cleaner.dedupe.buffer.size" Long dynamic = "134217728", Whole(1 << 20, i64::MAX);
        "Bytes for the newest offsets of keys, of all shards together: 24 a key. With too few, compaction takes more rounds."
    "log.cleaner.io.max.bytes.per.second" Double dynamic = "1.7976931348623157E308", Fraction(1.0, f64::MAX);
        "Bytes that compaction reads and writes in a second, of all shards together."
    "log.dir" List = "./strandline-data", Any; "The data directory; log.dirs wins."
    "log.dirs" List = null, Any; "The data directory: exactly one."
    "log.retention.check.interval.ms" Long = "300000", Whole(1, i64::MAX); "How often the broker looks for records that are old enough to be deleted."
    "log.retention.hours" Int = "168", Whole(-1, i32::MAX as i64); "As log.retention.ms, which wins, in hours."
    "log.retention.minutes" Int = null, Whole(-1, i32::MAX as i64); "As log.retention.ms, which wins, in minutes."
    "log.roll.hours" Int = "168", Whole(1, i32::MAX as i64); "As log.roll.ms, which wins, in hours."
    "log.roll.jitter.hours" Int = "0", Whole(0, i32::MAX as i64); "As log.roll.jitter.ms, which wins, in hours."
    "log.scrub.bytes.per.second" Long = "16777216", Whole(0, i64::MAX);
        "Bytes that are read in a second in search of rotten ones, of all shards together, past the page cache; 0 for none. Not in Kafka."
    "max.connection.creation.rate" Int dynamic = "2147483647", Whole(0, i32::MAX as i64);
        "Connections that are accepted in a second; more are accepted later, none is refused. listener.name.NAME.max.connection.creation.rate, with NAME in lower case, is the same for one listener, and may change while the broker runs as well."
    "max.connections" Int dynamic = "10000", Whole(1, i32::MAX as i64);
        "Connections at a time; more are closed at once. The limit on open files may leave room for fewer. listener.name.NAME.max.connections, with NAME in lower case, is the same for one listener, and does not change while the broker runs."
    "max.connections.per.ip" Int dynamic = "2147483647", Whole(0, i32::MAX as i64);
        "Connections of one address at a time; more are closed at once."
    "max.connections.per.ip.overrides" Text dynamic = "", Any;
        "The same for single addresses, as ADDRESS:COUNT,ADDRESS:COUNT,...; names are not looked up."
    "metrics.listen" Text = null, Any; "Where to answer GET /metrics, /healthz and /readyz: HOST:PORT. Default: nowhere. Not in Kafka."
    "mqtt.default.topic" Text = "mqtt", Any;
        "The Kafka topic of MQTT messages that no rule of mqtt.rules has a place for; their key is the MQTT topic. Not in Kafka."
    "mqtt.listen" Text = null, Any; "Where the MQTT front answers (3.1.1 and 5.0): HOST:PORT. Default: nowhere. Not in Kafka."
    "mqtt.listener.name" Text = "", Any;
        "The listener whose protocol, users, certificates and limits of connections the MQTT front has: with SASL, clients come with a user and a password of PLAIN or SCRAM. Default: the first. Not in Kafka."
    "mqtt.rules" Text = "", Any;
        "Which Kafka topic and key MQTT topics have: PATTERN -> TOPIC key=KEY, separated by semicolons; the first that matches counts. Not in Kafka."
    "node.id" Int = "1", Whole(0, i32::MAX as i64);
        "The number of this node. It is taken at the first start on a new data directory, which keeps it; another one is refused later."
    "num.partitions" Int = "1", Whole(1, 100_000); "Partitions of a topic that says nothing."
    "offset.metadata.max.bytes" Int = "4096", Whole(0, i32::MAX as i64); "Longest metadata of a committed offset."
    "offsets.retention.check.interval.ms" Long = "600000", Whole(1, i64::MAX); "How often it is looked for expired offsets."
    "offsets.retention.minutes" Int = "10080", Whole(1, i32::MAX as i64);
        "How long offsets are kept: of an empty group since it is empty, else since their commit."
    "offsets.topic.num.partitions" Int = "50", Whole(1, 100_000);
        "Partitions that the topic of groups is made with; it keeps what it was made with."
    "process.roles" List = "broker,controller", Words(&["broker", "controller"]);
        "What this node is: a broker, and what a controller does for it. Either alone would need another node."
    "quota.window.num" Int = "11", Whole(1, i32::MAX as i64);
        "Windows that are looked at to tell how fast a client has used what it has a quota of; more than 3600 are 3600."
    "quota.window.size.seconds" Int = "1", Whole(1, i32::MAX as i64); "How long each of them is."
    "reactor" Text = "auto", Words(&ReactorChoice::WORDS);
        "What the threads of shards run on: ring (io_uring), glommio (that runtime, beside io_uring), or poll (epoll, and threads for the disk: without io_uring). auto takes what the environment variable STRANDLINE_REACTOR says, else ring, and poll where io_uring is forbidden or not there. Not in Kafka."
    "sasl.enabled.mechanisms" List = "GSSAPI", Any;
        "How clients of SASL listeners prove who they are: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER. The default is Kafka's and is none of these, so that a listener with SASL needs this. A listener has its own as listener.name.NAME.sasl.enabled.mechanisms, with NAME in lower case. The users of PLAIN stand in listener.name.NAME.plain.sasl.jaas.config; those of SCRAM are kept by the broker."
    "sasl.oauthbearer.allow.unverified.audience" Bool = "false", Any;
        "Whether tokens for anybody are taken, where sasl.oauthbearer.expected.audience is empty."
    "sasl.oauthbearer.allow.unverified.issuer" Bool = "false", Any;
        "Whether tokens of any issuer with such a key are taken, where sasl.oauthbearer.expected.issuer is empty."
    "sasl.oauthbearer.clock.skew.seconds" Int = "30", Any;
        "How much the clocks of the issuer of a token and of the broker may differ."
    "sasl.oauthbearer.expected.audience" List = "", Any;
        "Whom a token has to be for (claim aud): one of these. Like all settings sasl.oauthbearer.*, a listener has its own as listener.name.NAME.oauthbearer.sasl.oauthbearer..., with NAME in lower case."
    "sasl.oauthbearer.expected.issuer" Text = null, Any; "Who has to have issued a token (claim iss)."
    "sasl.oauthbearer.jwks.endpoint.refresh.ms" Long = "3600000", Any;
        "How long keys are used before it is looked for others. A file is looked at every 10 seconds."
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms" Long = "10000", Any;
        "The longest wait after keys could not be read."
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms" Long = "100", Any;
        "How long to wait after keys could not be read, at first."
    "sasl.oauthbearer.jwks.endpoint.url" Text = null, Any;
        "Where the keys are by which tokens are verified, as a JSON Web Key Set: https://..., http://... or file:///PATH. OAUTHBEARER needs it."
    "sasl.oauthbearer.scope.claim.name" Text = "scope", Any;
        "The claim of a token that has its scopes. They decide nothing; a token that has them in another form is refused."
    "sasl.oauthbearer.sub.claim.name" Text = "sub", Any; "The claim of a token that is the name of the user."
    "sasl.server.max.receive.size" Int = "524288", Any;
        "Largest request of a client that has not proven yet who it is; at least 1024."
    "share.coordinator.snapshot.update.records.per.snapshot" Int = "500", Whole(0, 500);
        "Updates of a share partition that are written between two snapshots, at the most."
    "share.coordinator.state.topic.num.partitions" Int = "50", Whole(1, 100_000);
        "Partitions that the topic of share groups is made with; it keeps what it was made with."
    "share.coordinator.state.topic.segment.bytes" Int = "104857600", Whole(1, i32::MAX as i64);
        "Bytes of a segment of the topic of share groups, when it is made; at least 1048576."
    "socket.request.max.bytes" Int = "104857600", Whole(1024, i32::MAX as i64); "Largest request."
    "ssl.cipher.suites" List per_broker = "", Any;
        "The suites of ciphers that are offered, in the names of IANA; nothing for all that there are: three of TLS 1.3, six of TLS 1.2, all with forward secrecy. The broker takes the first of them that a client has."
    "ssl.client.auth" Text per_broker = "none", Words(&["required", "requested", "none"]);
        "Whether a client shows a certificate. requested lets in one without, and refuses one that is not trusted. A listener with SASL asks for one only where that is set as listener.name.NAME.ssl.client.auth; its users are those of SASL all the same."
    "ssl.enabled.protocols" List per_broker = "TLSv1.2,TLSv1.3", Any;
        "The versions of TLS that are spoken, of these two."
    "ssl.key.password" Password = null, Any;
        "What decrypts the private key, where that is encrypted (PKCS#8)."
    "ssl.keystore.certificate.chain" Password = null, Any;
        "The certificate of the broker and those that lead to its authority, as PEM in the setting itself; with ssl.keystore.key and ssl.keystore.type=PEM."
    "ssl.keystore.key" Password = null, Any;
        "The private key, as PEM in the setting itself."
    "ssl.keystore.location" Text per_broker = null, Any;
        "A PEM file with the private key of the broker, its certificate and those that lead to its authority. It is read anew when it changes, on SIGHUP and when this is altered; a pair that cannot be used is refused, and the one before stays in force. Like every setting ssl.*, a listener has its own as listener.name.NAME.ssl.keystore.location, with NAME in lower case."
    "ssl.keystore.password" Password = null, Any;
        "A PEM has none; it is refused."
    "ssl.keystore.type" Text per_broker = "JKS", Any;
        "PEM. The default is Kafka's and is not read: a store of Java's is converted once, and the error says by what."
    "ssl.principal.mapping.rules" Text = "DEFAULT", Any;
        "What the subject of a client's certificate is called as a user: RULE:PATTERN/REPLACEMENT/, with L or U behind it for small or large letters, and DEFAULT for the subject as it is; separated by commas, the first one that matches the whole subject."
    "ssl.truststore.certificates" Password = null, Any;
        "The certificates that those of clients are held against, as PEM in the setting itself; with ssl.truststore.type=PEM."
    "ssl.truststore.location" Text per_broker = null, Any;
        "A PEM file with the certificates that those of clients are held against. It is read anew like ssl.keystore.location."
    "ssl.truststore.password" Password = null, Any;
        "A PEM has none; it is refused."
    "ssl.truststore.type" Text per_broker = "JKS", Any;
        "PEM, as for ssl.keystore.type."
    "super.users" Text = "", Any;
        "Principals that may do everything: TYPE:NAME;TYPE:NAME;..., User:admin for example. It is Kafka's authorizer that has this setting."
    "transaction.abort.timed.out.transaction.cleanup.interval.ms" Int = "10000", Whole(1, i32::MAX as i64);
        "How often it is looked for transactions that have been open for longer than their timeout."
    "transaction.max.timeout.ms" Int = "900000", Whole(1, i32::MAX as i64);
        "Longest timeout that a transactional producer may ask for."
    "transaction.partition.verification.enable" Bool dynamic = "true", Any;
        "Whether the first batch of a transaction in a partition is appended only after its coordinator has said that the partition was added. It is for clients before KIP-890; of others the partition is added."
    "transaction.remove.expired.transaction.cleanup.interval.ms" Int = "3600000", Whole(1, i32::MAX as i64);
        "How often it is looked for transactional ids that have expired."
    "transaction.state.log.num.partitions" Int = "50", Whole(1, 100_000);
        "Partitions that the topic of transactions is made with; it keeps what it was made with."
    "transaction.state.log.segment.bytes" Int = "104857600", Whole(1, i32::MAX as i64);
        "Bytes of a segment of the topic of transactions, when it is made; at least 1048576."
    "transactional.id.expiration.ms" Int = "604800000", Whole(1, i32::MAX as i64);
        "How long a transactional id is kept that no producer uses."
}

/// Every broker setting: those of the broker alone, with and without an effect, and those that give topics
/// their defaults.
pub fn broker_configs() -> impl Iterator<Item = &'static TopicConfigEntry> {
    let of_topics = TOPIC_CONFIGS.iter().filter(|entry| entry.broker_name.is_some());
    BROKER_CONFIGS.iter().chain(WITHOUT_EFFECT).chain(of_topics)
}

/// The declaration of the broker setting `name`.
pub fn broker_config_entry(name: &str) -> Option<&'static TopicConfigEntry> {
    broker_configs().find(|entry| entry.broker_name == Some(name))
}

/// The name by which the broker has the setting.
pub(super) fn shown_name(entry: &TopicConfigEntry) -> &'static str {
    entry.broker_name.unwrap_or(entry.name)
}
