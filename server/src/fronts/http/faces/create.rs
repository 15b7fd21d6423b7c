//! Creating a topic, as both versions of the API do.

use strandline_protocol::messages::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use strandline_protocol::wire::ErrorCode;

use crate::fronts::http::ask::Asker;
use crate::fronts::http::problem::Problem;

/// The version of CreateTopics that is asked.
const CREATE_TOPICS: i16 = 7;

/// Creates a topic, or looks whether it could be.
///
/// # Errors
/// [`Problem`], in the broker's words where it has some.
pub(super) async fn create_topic(
    asker: &Asker,
    name: &str,
    partitions: Option<i32>,
    replicas: Option<i16>,
    configs: Vec<CreatableTopicConfig>,
    validate_only: bool,
) -> Result<(), Problem> {
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions.unwrap_or(-1),
        replication_factor: replicas.unwrap_or(-1),
        configs,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only };
    let answer = asker.ask(CREATE_TOPICS, &request).await?;
    for topic in answer.topics {
        let of = format!("topic {name}");
        let code = ErrorCode::try_from(topic.error_code).unwrap_or(ErrorCode::UnknownServerError);
        if code != ErrorCode::None {
            let problem = Problem::of_kafka(code, &of);
            let words = topic.error_message.map(|words| format!("{of}: {words}"));
            return Err(Problem { message: words.unwrap_or(problem.message.clone()), ..problem });
        }
    }
    Ok(())
}
