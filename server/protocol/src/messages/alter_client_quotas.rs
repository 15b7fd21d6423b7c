//! AlterClientQuotas (49): changes of what clients may use of a broker.

use crate::message;
use crate::messages::Request;

impl Request for AlterClientQuotasRequest {
    type Response = AlterClientQuotasResponse;
}

message! {
    /// Changes quotas.
    pub struct AlterClientQuotasRequest(AlterClientQuotas, 0..=1) {
        (0..) entries: Vec<AlterQuota>;
        (0..) validate_only: bool;
    }

    /// Changes for some clients.
    pub struct AlterQuota {
        (0..) entity: Vec<AlterQuotaEntity>;
        (0..) ops: Vec<AlterQuotaStep>;
    }

    /// A kind of client, and its name.
    pub struct AlterQuotaEntity {
        (0..) entity_type: String;
        /// `None` is the default.
        (0..) entity_name: Option<String>;
    }

    /// A quota.
    pub struct AlterQuotaStep {
        (0..) key: String;
        (0..) value: f64;
        (0..) remove: bool;
    }

    /// What became of each change.
    pub struct AlterClientQuotasResponse(AlterClientQuotas, 0..=1) {
        (0..) throttle_time_ms: i32;
        (0..) entries: Vec<AlteredQuota>;
    }

    /// What became of the changes for some clients.
    pub struct AlteredQuota {
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) entity: Vec<AlteredQuotaEntity>;
    }

    /// A kind of client, and its name.
    pub struct AlteredQuotaEntity {
        (0..) entity_type: String;
        /// `None` is the default.
        (0..) entity_name: Option<String>;
    }
}
