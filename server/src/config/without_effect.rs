//! Broker settings of Kafka's that do nothing here, by the reason: known, so that files and tools that name
//! them are understood, checked as Kafka checks them, shown with the values they were given, and documented
//! as what they are.
//!
//! A setting that asks by its value for something that is not there ([`Only`]) is refused instead: to go on
//! without a policy that was asked for would be worse than not to start.

use strandline_engine::config::ConfigBounds::{Any, Only, Whole, Words, WordsOfAnyCase};
use strandline_engine::config::{ConfigKind, ConfigMode, TopicConfigEntry};

/// As much as the type holds.
const MAX: i64 = i64::MAX;

macro_rules! default_value {
    (null) => {
        None
    };
    ($value:literal) => {
        Some($value)
    };
}

macro_rules! mode {
    () => {
        ConfigMode::ReadOnly
    };
    (per_broker) => {
        ConfigMode::PerBroker
    };
    (dynamic) => {
        ConfigMode::Dynamic
    };
}

pub(super) use {default_value, mode};

macro_rules! without_effect {
    ($($reason:literal {
        $($name:literal $kind:ident $($mode:ident)? = $default:tt, $bounds:expr;)*
    })*) => {
        /// Every broker setting without an effect, with those of the same reason together.
        pub const WITHOUT_EFFECT: &[TopicConfigEntry] = &[$($(TopicConfigEntry {
            name: $name,
            broker_name: Some($name),
            kind: ConfigKind::$kind,
            default: default_value!($default),
            bounds: $bounds,
            mode: mode!($($mode)?),
            has_effect: false,
            doc: $reason,
        },)*)*];
    };
}

without_effect! {
    "a single node replicates nothing" {
        "alter.log.dirs.replication.quota.window.num" Int = "11", Whole(1, MAX);
        "alter.log.dirs.replication.quota.window.size.seconds" Int = "1", Whole(1, MAX);
        "auto.leader.rebalance.enable" Bool = "true", Any;
        "follower.fetch.last.tiered.offset.enable" Bool dynamic = "false", Any;
        "follower.replication.throttled.rate" Long dynamic = "9223372036854775807", Whole(0, MAX);
        "leader.imbalance.check.interval.seconds" Long = "300", Whole(1, MAX);
        "leader.replication.throttled.rate" Long dynamic = "9223372036854775807", Whole(0, MAX);
        "num.replica.alter.log.dirs.threads" Int = null, Any;
        "num.replica.fetchers" Int dynamic = "1", Whole(1, MAX);
        "offsets.topic.replication.factor" Short = "3", Whole(1, MAX);
        "replica.alter.log.dirs.io.max.bytes.per.second" Long dynamic = "9223372036854775807", Whole(0, MAX);
        "replica.fetch.backoff.ms" Int = "1000", Whole(0, MAX);
        "replica.fetch.max.bytes" Int = "1048576", Whole(0, MAX);
        "replica.fetch.min.bytes" Int = "1", Any;
        "replica.fetch.response.max.bytes" Int = "10485760", Whole(0, MAX);
        "replica.fetch.wait.max.ms" Int = "500", Any;
        "replica.high.watermark.checkpoint.interval.ms" Long = "5000", Any;
        "replica.lag.time.max.ms" Long = "30000", Any;
        "replica.selector.class" Text = null, Any;
        "replica.socket.receive.buffer.bytes" Int = "65536", Any;
        "replica.socket.timeout.ms" Int = "30000", Any;
        "replication.quota.window.num" Int = "11", Whole(1, MAX);
        "replication.quota.window.size.seconds" Int = "1", Whole(1, MAX);
        "transaction.state.log.min.isr" Int = "2", Whole(1, MAX);
        "transaction.state.log.replication.factor" Short = "3", Whole(1, MAX);
    }
    "a single node has no controllers to talk to, and is known to itself" {
        "broker.heartbeat.interval.ms" Int = "2000", Any;
        "broker.session.timeout.ms" Int = "9000", Any;
        "controlled.shutdown.enable" Bool = "true", Any;
        "controller.quorum.append.linger.ms" Int = "25", Whole(0, MAX);
        "controller.quorum.auto.join.enable" Bool = "false", Any;
        "controller.quorum.bootstrap.servers" List = "", Any;
        "controller.quorum.election.backoff.max.ms" Int = "1000", Whole(0, MAX);
        "controller.quorum.election.timeout.ms" Int = "1000", Whole(0, MAX);
        "controller.quorum.fetch.max.bytes" Int = "1048576", Whole(1, MAX);
        "controller.quorum.fetch.snapshot.max.bytes" Int = "1048576", Whole(1, MAX);
        "controller.quorum.fetch.timeout.ms" Int = "2000", Whole(0, MAX);
        "controller.quorum.request.timeout.ms" Int = "2000", Whole(0, MAX);
        "controller.quorum.retry.backoff.ms" Int = "20", Whole(0, MAX);
        "controller.socket.timeout.ms" Int = "30000", Any;
        "early.start.listeners" List = null, Any;
        "initial.broker.registration.timeout.ms" Int = "60000", Any;
        "inter.broker.listener.name" Text = null, Any;
        "metadata.max.idle.interval.ms" Int = "500", Whole(0, MAX);
        "request.timeout.ms" Int = "30000", Any;
        "sasl.mechanism.controller.protocol" Text = "GSSAPI", Any;
        "sasl.mechanism.inter.broker.protocol" Text per_broker = "GSSAPI", Any;
        "security.inter.broker.protocol" Text =
            "PLAINTEXT", Words(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]);
    }
    "topics and settings are kept in files of their own, not in a metadata log" {
        "metadata.log.dir" Text = null, Any;
        "metadata.log.max.record.bytes.between.snapshots" Long = "20971520", Whole(1, MAX);
        "metadata.log.max.snapshot.interval.ms" Long = "3600000", Whole(0, MAX);
        "metadata.log.segment.bytes" Int = "1073741824", Whole(8388608, MAX);
        "metadata.log.segment.ms" Long = "604800000", Any;
        "metadata.max.retention.bytes" Long = "104857600", Any;
        "metadata.max.retention.ms" Long = "604800000", Any;
    }
    "share groups are coordinated on the threads of the shards, and shared out at once" {
        "group.share.assignment.interval.ms" Int dynamic = "1000", Whole(0, MAX);
        "group.share.assignors" List = "simple", Any;
        "group.share.max.assignment.interval.ms" Int = "15000", Whole(0, MAX);
        "group.share.min.assignment.interval.ms" Int = "0", Whole(0, MAX);
        "share.coordinator.append.linger.ms" Int = "-1", Whole(-1, MAX);
        "share.coordinator.cached.buffer.max.bytes" Int dynamic = "1048588", Whole(524288, MAX);
        "share.coordinator.load.buffer.size" Int = "5242880", Whole(1, MAX);
        "share.coordinator.state.topic.compression.codec" Int = "0", Any;
        "share.coordinator.state.topic.min.isr" Short = "2", Whole(1, MAX);
        "share.coordinator.state.topic.replication.factor" Short = "3", Whole(1, MAX);
        "share.coordinator.threads" Int = "1", Whole(1, MAX);
        "share.coordinator.write.timeout.ms" Int = "5000", Whole(1, MAX);
        "share.fetch.purgatory.purge.interval.requests" Int = "1000", Any;
    }
    "tasks of streams groups are shared out by one assignor, which spreads them over processes" {
        "group.streams.assignors" List = "sticky", Any;
        "group.streams.rack.aware.assignment.tags" List = "", Any;
    }
    "descriptions of topologies are kept by a plugin, and there are no plugins" {
        "group.streams.topology.description.plugin.class" Class = null, Any;
    }
    "groups are coordinated on the threads of the shards, by the classic protocol" {
        "group.coordinator.append.linger.ms" Int = "-1", Whole(-1, MAX);
        "group.coordinator.background.threads" Int = "2", Whole(1, MAX);
        "group.coordinator.cached.buffer.max.bytes" Int dynamic = "1048588", Whole(524288, MAX);
        "group.coordinator.rebalance.protocols" List =
            "classic,consumer,streams", Words(&["consumer", "classic", "share", "streams"]);
        "group.coordinator.threads" Int = "4", Whole(1, MAX);
        "offsets.commit.timeout.ms" Int = "5000", Whole(1, MAX);
        "offsets.load.buffer.size" Int = "5242880", Whole(1, MAX);
        "offsets.topic.compression.codec" Int = "0", Any;
        "offsets.topic.segment.bytes" Int = "104857600", Whole(1, MAX);
    }
    "transactions are coordinated on the threads of the shards" {
        "transaction.state.log.load.buffer.size" Int = "5242880", Whole(1, MAX);
    }
    "no transaction waits for another system" {
        "transaction.two.phase.commit.enable" Bool = "false", Only("false", "no transaction waits for another system");
    }
    "there is no tiered storage" {
        "remote.log.storage.system.enable" Bool = "false", Only("false", "there is no tiered storage");
        "remote.fetch.max.wait.ms" Int dynamic = "500", Whole(1, MAX);
        "remote.list.offsets.request.timeout.ms" Long dynamic = "30000", Whole(1, MAX);
        "remote.log.index.file.cache.total.size.bytes" Long dynamic = "1073741824", Whole(1, MAX);
        "remote.log.manager.copier.thread.pool.size" Int dynamic = "10", Whole(1, MAX);
        "remote.log.manager.copy.max.bytes.per.second" Long dynamic = "9223372036854775807", Whole(1, MAX);
        "remote.log.manager.copy.quota.window.num" Int = "11", Whole(1, MAX);
        "remote.log.manager.copy.quota.window.size.seconds" Int = "1", Whole(1, MAX);
        "remote.log.manager.expiration.thread.pool.size" Int dynamic = "10", Whole(1, MAX);
        "remote.log.manager.fetch.max.bytes.per.second" Long dynamic = "9223372036854775807", Whole(1, MAX);
        "remote.log.manager.fetch.quota.window.num" Int = "11", Whole(1, MAX);
        "remote.log.manager.fetch.quota.window.size.seconds" Int = "1", Whole(1, MAX);
        "remote.log.manager.follower.thread.pool.size" Int dynamic = "2", Whole(1, MAX);
        "remote.log.manager.task.interval.ms" Long = "30000", Whole(1, MAX);
        "remote.log.manager.thread.pool.size" Int = "2", Whole(1, MAX);
        "remote.log.metadata.custom.metadata.max.bytes" Int = "128", Whole(0, MAX);
        "remote.log.metadata.manager.class.name" Text =
            "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", Any;
        "remote.log.metadata.manager.class.path" Text = null, Any;
        "remote.log.metadata.manager.impl.prefix" Text = "rlmm.config.", Any;
        "remote.log.metadata.manager.listener.name" Text = null, Any;
        "remote.log.reader.max.pending.tasks" Int = "100", Whole(1, MAX);
        "remote.log.reader.threads" Int dynamic = "10", Whole(1, MAX);
        "remote.log.storage.manager.class.name" Text = null, Any;
        "remote.log.storage.manager.class.path" Text = null, Any;
        "remote.log.storage.manager.impl.prefix" Text = "rsm.config.", Any;
    }
    "TLS is rustls's, which has no such choice; new keys may be for another name; this node connects to no other" {
        "ssl.allow.dn.changes" Bool = "false", Any;
        "ssl.allow.san.changes" Bool = "false", Any;
        "ssl.endpoint.identification.algorithm" Text per_broker = "https", Any;
        "ssl.engine.factory.class" Class per_broker = null, Any;
        "ssl.keymanager.algorithm" Text per_broker = "SunX509", Any;
        "ssl.protocol" Text per_broker = "TLSv1.3", Any;
        "ssl.provider" Text per_broker = null, Any;
        "ssl.secure.random.implementation" Text per_broker = null, Any;
        "ssl.trustmanager.algorithm" Text per_broker = "PKIX", Any;
    }
    "there are no delegation tokens" {
        "delegation.token.expiry.check.interval.ms" Long = "3600000", Whole(1, MAX);
        "delegation.token.expiry.time.ms" Long = "86400000", Whole(1, MAX);
        "delegation.token.max.lifetime.ms" Long = "604800000", Whole(1, MAX);
        "delegation.token.secret.key" Password = null, Any;
    }
    "there is no Kerberos" {
        "sasl.kerberos.kinit.cmd" Text per_broker = "/usr/bin/kinit", Any;
        "sasl.kerberos.min.time.before.relogin" Long per_broker = "60000", Any;
        "sasl.kerberos.principal.to.local.rules" List per_broker = "DEFAULT", Any;
        "sasl.kerberos.service.name" Text per_broker = null, Any;
        "sasl.kerberos.ticket.renew.jitter" Double per_broker = "0.05", Any;
        "sasl.kerberos.ticket.renew.window.factor" Double per_broker = "0.8", Any;
    }
    "a broker asks for no tokens, and verifies those of others by no class" {
        "sasl.oauthbearer.assertion.algorithm" Text = "RS256", WordsOfAnyCase(&["ES256", "RS256"]);
        "sasl.oauthbearer.assertion.claim.aud" Text = null, Any;
        "sasl.oauthbearer.assertion.claim.exp.seconds" Int = "300", Whole(0, 86400);
        "sasl.oauthbearer.assertion.claim.iss" Text = null, Any;
        "sasl.oauthbearer.assertion.claim.jti.include" Bool = "false", Any;
        "sasl.oauthbearer.assertion.claim.nbf.seconds" Int = "60", Whole(0, 3600);
        "sasl.oauthbearer.assertion.claim.sub" Text = null, Any;
        "sasl.oauthbearer.assertion.file" Text = null, Any;
        "sasl.oauthbearer.assertion.private.key.file" Text = null, Any;
        "sasl.oauthbearer.assertion.private.key.passphrase" Password = null, Any;
        "sasl.oauthbearer.assertion.template.file" Text = null, Any;
        "sasl.oauthbearer.client.credentials.client.id" Text = null, Any;
        "sasl.oauthbearer.client.credentials.client.secret" Password = null, Any;
        "sasl.oauthbearer.jwt.retriever.class" Class =
            "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", Any;
        "sasl.oauthbearer.jwt.validator.class" Class =
            "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", Any;
        "sasl.oauthbearer.scope" Text = null, Any;
        "sasl.oauthbearer.token.endpoint.url" Text = null, Any;
    }
    "users in a setting are those of PLAIN, by listener: listener.name.NAME.plain.sasl.jaas.config" {
        "sasl.jaas.config" Password per_broker = null, Any;
    }
    "this broker logs in nowhere" {
        "sasl.login.connect.timeout.ms" Int = null, Any;
        "sasl.login.read.timeout.ms" Int = null, Any;
        "sasl.login.refresh.buffer.seconds" Short per_broker = "300", Any;
        "sasl.login.refresh.min.period.seconds" Short per_broker = "60", Any;
        "sasl.login.refresh.window.factor" Double per_broker = "0.8", Any;
        "sasl.login.refresh.window.jitter" Double per_broker = "0.05", Any;
        "sasl.login.retry.backoff.max.ms" Long = "10000", Any;
        "sasl.login.retry.backoff.ms" Long = "100", Any;
    }
    "of who a client is, a mechanism alone decides: no classes are asked" {
        "principal.builder.class" Class per_broker =
            "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", Any;
        "sasl.client.callback.handler.class" Class = null, Any;
        "sasl.login.callback.handler.class" Class = null, Any;
        "sasl.login.class" Class = null, Any;
        "sasl.server.callback.handler.class" Class = null, Any;
        "security.providers" Text = null, Any;
    }
    "metrics are answered over HTTP and have no reporters" {
        "kafka.metrics.polling.interval.secs" Int = "10", Whole(1, MAX);
        "kafka.metrics.reporters" List = "", Any;
        "metric.reporters" List dynamic = "org.apache.kafka.common.metrics.JmxReporter", Any;
        "metrics.num.samples" Int = "2", Whole(1, MAX);
        "metrics.recording.level" Text = "INFO", Any;
        "metrics.sample.window.ms" Long = "30000", Whole(1, MAX);
        "telemetry.max.bytes" Int = "1048576", Whole(1, MAX);
    }
    "a thread per core does all work" {
        "background.threads" Int dynamic = "10", Whole(1, MAX);
        "delete.records.purgatory.purge.interval.requests" Int = "1", Any;
        "fetch.purgatory.purge.interval.requests" Int = "1000", Any;
        "log.cleaner.io.buffer.load.factor" Double dynamic = "0.9", Any;
        "log.cleaner.io.buffer.size" Int dynamic = "524288", Whole(0, MAX);
        "log.cleaner.threads" Int dynamic = "1", Whole(0, MAX);
        "num.io.threads" Int dynamic = "8", Whole(1, MAX);
        "num.network.threads" Int dynamic = "3", Whole(1, MAX);
        "num.recovery.threads.per.data.dir" Int dynamic = "2", Whole(1, MAX);
        "producer.purgatory.purge.interval.requests" Int = "1000", Any;
        "queued.max.request.bytes" Long = "-1", Any;
        "queued.max.requests" Int = "500", Whole(1, MAX);
    }
    "the system's own sizes and times are taken" {
        "socket.connection.setup.timeout.max.ms" Long = "30000", Any;
        "socket.connection.setup.timeout.ms" Long = "10000", Any;
        "socket.listen.backlog.size" Int = "50", Whole(1, MAX);
        "socket.receive.buffer.bytes" Int = "102400", Any;
        "socket.send.buffer.bytes" Int = "102400", Any;
    }
    "checkpoints are written by the journal's size" {
        "log.flush.offset.checkpoint.interval.ms" Int = "60000", Whole(0, MAX);
        "log.flush.start.offset.checkpoint.interval.ms" Int = "60000", Whole(0, MAX);
    }
    "a disk that fails takes the node with it" {
        "cordoned.log.dirs" List per_broker = "", Any;
        "log.dir.failure.timeout.ms" Long = "30000", Whole(1, MAX);
    }
    "each shard watches the flush.ms of its partitions" {
        "log.flush.scheduler.interval.ms" Long = "9223372036854775807", Any;
    }
    "compaction cannot be switched off" {
        "log.cleaner.enable" Bool = "true", Only("true", "compaction cannot be switched off");
    }
    "no classes are loaded" {
        "alter.config.policy.class.name" Class = null, Only("", "no classes are loaded");
        "client.quota.callback.class" Class = null, Only("", "no classes are loaded");
        "create.topic.policy.class.name" Class = null, Only("", "no classes are loaded");
    }
    "values are taken as they are written" {
        "config.providers" List dynamic = "", Only("", "values are taken as they are written");
    }
    "every fetch names its partitions, no session remembers them" {
        "max.incremental.fetch.session.cache.slots" Int = "1000", Whole(0, MAX);
    }
    "a page of DescribeTopicPartitions holds 2000 partitions at most" {
        "max.request.partition.size.limit" Int = "2000", Whole(1, MAX);
    }
    "a producer is forgotten a day after its last batch" {
        "producer.id.expiration.ms" Int dynamic = "86400000", Whole(1, MAX);
    }
}
