//! The names that REST and the registry answer to.

use serde_json::json;

use super::client::Http;
use super::{USERS, start};
use crate::broker::data_dir;

const TEXT: &str = "application/vnd.kafka.text.v2+json";

#[test]
fn a_name_that_a_stranger_points_at_the_broker_reads_nothing_where_nobody_logs_in() {
    let data = data_dir();
    let (broker, mut client) =
        start(data.path(), &["-o", "advertised.listeners=PLAINTEXT://broker.example:9092"]);
    let new = json!({"topic_name": "t", "partitions_count": 1});
    assert_eq!(client.post("/admin/topics", "application/json", &new).status, 201);
    let address = broker.http.unwrap();
    let paths = ["/topics", "/topics/t/partitions/0/records", "/v3/clusters", "/subjects", "/openapi.json"];
    for path in paths {
        for own in ["localhost:8080", "127.0.0.1", "broker.example:8080", "strandline.here.svc"] {
            assert_eq!(Http::new(address).with("Host", own).get(path).status, 200, "{own} {path}");
        }
        for foreign in ["evil.example", "127.0.0.1.evil.example:8080", ""] {
            let told = Http::new(address).with("Host", foreign).get(path).expect(421);
            assert_eq!(told["error_code"], 421, "{foreign} {path}");
        }
    }
    let record = json!({"records": [{"value": "x"}]});
    let mut evil = Http::new(address).with("Host", "evil.example");
    assert_eq!(evil.post("/topics/t", TEXT, &record).status, 421);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(evil.get(path).status, 200, "{path}: whoever scrapes goes on");
    }
    drop(broker);
    // Behind a password that no foreign name has, any name will do.
    let data = data_dir();
    let (broker, _) = start(data.path(), &USERS);
    let mut client = Http::new(broker.http.unwrap()).with("Host", "kafka.example").user("admin", "hunter2");
    assert_eq!(client.get("/topics").expect(200), json!([]));
}
