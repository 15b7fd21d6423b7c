//! DescribeClientQuotas (48): what clients may use of a broker.

use crate::message;
use crate::messages::Request;

impl Request for DescribeClientQuotasRequest {
    type Response = DescribeClientQuotasResponse;
}

message! {
    /// Asks for quotas.
    pub struct DescribeClientQuotasRequest(DescribeClientQuotas, 0..=1) {
        (0..) components: Vec<QuotaComponent>;
        /// Not those of clients that have more components.
        (0..) strict: bool;
    }

    /// A kind of client, and which of them.
    pub struct QuotaComponent {
        (0..) entity_type: String;
        /// 0 the name, 1 the default, 2 any name.
        (0..) match_type: i8;
        /// The name, where it is asked for. Kafka calls the field `match`.
        (0..) match_name: Option<String>;
    }

    /// The quotas.
    pub struct DescribeClientQuotasResponse(DescribeClientQuotas, 0..=1) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        /// `None` with an error.
        (0..) entries: Option<Vec<DescribedQuota>>;
    }

    /// The quotas of some clients.
    pub struct DescribedQuota {
        (0..) entity: Vec<DescribedQuotaEntity>;
        (0..) values: Vec<QuotaValue>;
    }

    /// A kind of client, and its name.
    pub struct DescribedQuotaEntity {
        (0..) entity_type: String;
        /// `None` is the default.
        (0..) entity_name: Option<String>;
    }

    /// A quota.
    pub struct QuotaValue {
        (0..) key: String;
        (0..) value: f64;
    }
}
