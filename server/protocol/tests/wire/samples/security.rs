//! Samples of users, rights and quotas.

use strandline_protocol::messages::*;

use super::{Seed, only};

pub(crate) fn describe_client_quotas_request(_version: i16, s: &mut Seed) -> DescribeClientQuotasRequest {
    DescribeClientQuotasRequest {
        components: s.several(|s| QuotaComponent {
            entity_type: s.string(),
            match_type: s.i8(),
            match_name: s.some(),
        }),
        strict: true,
    }
}

pub(crate) fn describe_client_quotas_response(_version: i16, s: &mut Seed) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        entries: Some(s.several(|s| DescribedQuota {
            entity: s.several(|s| DescribedQuotaEntity { entity_type: s.string(), entity_name: s.some() }),
            values: s.several(|s| QuotaValue { key: s.string(), value: s.i32() as f64 / 4.0 }),
        })),
    }
}

pub(crate) fn alter_client_quotas_request(_version: i16, s: &mut Seed) -> AlterClientQuotasRequest {
    AlterClientQuotasRequest {
        entries: s.several(|s| AlterQuota {
            entity: s.several(|s| AlterQuotaEntity { entity_type: s.string(), entity_name: s.some() }),
            ops: s.several(|s| AlterQuotaStep { key: s.string(), value: s.i32() as f64 / 4.0, remove: true }),
        }),
        validate_only: true,
    }
}

pub(crate) fn alter_client_quotas_response(_version: i16, s: &mut Seed) -> AlterClientQuotasResponse {
    AlterClientQuotasResponse {
        throttle_time_ms: s.i32(),
        entries: s.several(|s| AlteredQuota {
            error_code: s.i16(),
            error_message: s.some(),
            entity: s.several(|s| AlteredQuotaEntity { entity_type: s.string(), entity_name: s.some() }),
        }),
    }
}

pub(crate) fn describe_user_scram_credentials_request(
    _version: i16,
    s: &mut Seed,
) -> DescribeUserScramCredentialsRequest {
    DescribeUserScramCredentialsRequest { users: Some(s.several(|s| ScramUserName { name: s.string() })) }
}

pub(crate) fn describe_user_scram_credentials_response(
    _version: i16,
    s: &mut Seed,
) -> DescribeUserScramCredentialsResponse {
    DescribeUserScramCredentialsResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        results: s.several(|s| DescribeUserScramCredentialsResult {
            user: s.string(),
            error_code: s.i16(),
            error_message: s.some(),
            credential_infos: s.several(|s| CredentialInfo { mechanism: s.i8(), iterations: s.i32() }),
        }),
    }
}

pub(crate) fn alter_user_scram_credentials_request(
    _version: i16,
    s: &mut Seed,
) -> AlterUserScramCredentialsRequest {
    AlterUserScramCredentialsRequest {
        deletions: s.several(|s| ScramCredentialDeletion { name: s.string(), mechanism: s.i8() }),
        upsertions: s.several(|s| ScramCredentialUpsertion {
            name: s.string(),
            mechanism: s.i8(),
            iterations: s.i32(),
            salt: s.opaque(),
            salted_password: s.opaque(),
        }),
    }
}

pub(crate) fn alter_user_scram_credentials_response(
    _version: i16,
    s: &mut Seed,
) -> AlterUserScramCredentialsResponse {
    AlterUserScramCredentialsResponse {
        throttle_time_ms: s.i32(),
        results: s.several(|s| AlterUserScramCredentialsResult {
            user: s.string(),
            error_code: s.i16(),
            error_message: s.some(),
        }),
    }
}

pub(crate) fn describe_acls_request(_version: i16, s: &mut Seed) -> DescribeAclsRequest {
    DescribeAclsRequest {
        resource_type_filter: s.i8(),
        resource_name_filter: s.some(),
        pattern_type_filter: s.i8(),
        principal_filter: s.some(),
        host_filter: s.some(),
        operation: s.i8(),
        permission_type: s.i8(),
    }
}

pub(crate) fn describe_acls_response(_version: i16, s: &mut Seed) -> DescribeAclsResponse {
    DescribeAclsResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        resources: s.several(|s| DescribeAclsResource {
            resource_type: s.i8(),
            resource_name: s.string(),
            pattern_type: s.i8(),
            acls: s.several(|s| AclDescription {
                principal: s.string(),
                host: s.string(),
                operation: s.i8(),
                permission_type: s.i8(),
            }),
        }),
    }
}

pub(crate) fn create_acls_request(_version: i16, s: &mut Seed) -> CreateAclsRequest {
    CreateAclsRequest {
        creations: s.several(|s| AclCreation {
            resource_type: s.i8(),
            resource_name: s.string(),
            resource_pattern_type: s.i8(),
            principal: s.string(),
            host: s.string(),
            operation: s.i8(),
            permission_type: s.i8(),
        }),
    }
}

pub(crate) fn create_acls_response(_version: i16, s: &mut Seed) -> CreateAclsResponse {
    CreateAclsResponse {
        throttle_time_ms: s.i32(),
        results: s.several(|s| AclCreationResult { error_code: s.i16(), error_message: s.some() }),
    }
}

pub(crate) fn delete_acls_request(_version: i16, s: &mut Seed) -> DeleteAclsRequest {
    DeleteAclsRequest {
        filters: s.several(|s| DeleteAclsFilter {
            resource_type_filter: s.i8(),
            resource_name_filter: s.some(),
            pattern_type_filter: s.i8(),
            principal_filter: s.some(),
            host_filter: s.some(),
            operation: s.i8(),
            permission_type: s.i8(),
        }),
    }
}

pub(crate) fn delete_acls_response(_version: i16, s: &mut Seed) -> DeleteAclsResponse {
    DeleteAclsResponse {
        throttle_time_ms: s.i32(),
        filter_results: s.several(|s| DeleteAclsFilterResult {
            error_code: s.i16(),
            error_message: s.some(),
            matching_acls: s.several(|s| DeleteAclsMatchingAcl {
                error_code: s.i16(),
                error_message: s.some(),
                resource_type: s.i8(),
                resource_name: s.string(),
                pattern_type: s.i8(),
                principal: s.string(),
                host: s.string(),
                operation: s.i8(),
                permission_type: s.i8(),
            }),
        }),
    }
}

pub(crate) fn create_delegation_token_request(version: i16, s: &mut Seed) -> CreateDelegationTokenRequest {
    CreateDelegationTokenRequest {
        owner_principal_type: only(version >= 3, s.some()),
        owner_principal_name: only(version >= 3, s.some()),
        renewers: s.several(|s| CreatableRenewers { principal_type: s.string(), principal_name: s.string() }),
        max_lifetime_ms: s.i64(),
    }
}

pub(crate) fn create_delegation_token_response(_version: i16, s: &mut Seed) -> CreateDelegationTokenResponse {
    CreateDelegationTokenResponse {
        error_code: s.i16(),
        principal_type: s.string(),
        principal_name: s.string(),
        token_requester_principal_type: s.string(),
        token_requester_principal_name: s.string(),
        issue_timestamp_ms: s.i64(),
        expiry_timestamp_ms: s.i64(),
        max_timestamp_ms: s.i64(),
        token_id: s.string(),
        hmac: s.opaque(),
        throttle_time_ms: s.i32(),
    }
}

pub(crate) fn renew_delegation_token_request(_version: i16, s: &mut Seed) -> RenewDelegationTokenRequest {
    RenewDelegationTokenRequest { hmac: s.opaque(), renew_period_ms: s.i64() }
}

pub(crate) fn renew_delegation_token_response(_version: i16, s: &mut Seed) -> RenewDelegationTokenResponse {
    RenewDelegationTokenResponse {
        error_code: s.i16(),
        expiry_timestamp_ms: s.i64(),
        throttle_time_ms: s.i32(),
    }
}

pub(crate) fn expire_delegation_token_request(_version: i16, s: &mut Seed) -> ExpireDelegationTokenRequest {
    ExpireDelegationTokenRequest { hmac: s.opaque(), expiry_time_period_ms: s.i64() }
}

pub(crate) fn expire_delegation_token_response(_version: i16, s: &mut Seed) -> ExpireDelegationTokenResponse {
    ExpireDelegationTokenResponse {
        error_code: s.i16(),
        expiry_timestamp_ms: s.i64(),
        throttle_time_ms: s.i32(),
    }
}

pub(crate) fn describe_delegation_token_request(
    _version: i16,
    s: &mut Seed,
) -> DescribeDelegationTokenRequest {
    DescribeDelegationTokenRequest {
        owners: Some(s.several(|s| DescribeDelegationTokenOwner {
            principal_type: s.string(),
            principal_name: s.string(),
        })),
    }
}

pub(crate) fn describe_delegation_token_response(
    _version: i16,
    s: &mut Seed,
) -> DescribeDelegationTokenResponse {
    DescribeDelegationTokenResponse {
        error_code: s.i16(),
        tokens: s.several(|s| DescribedDelegationToken {
            principal_type: s.string(),
            principal_name: s.string(),
            token_requester_principal_type: s.string(),
            token_requester_principal_name: s.string(),
            issue_timestamp: s.i64(),
            expiry_timestamp: s.i64(),
            max_timestamp: s.i64(),
            token_id: s.string(),
            hmac: s.opaque(),
            renewers: s.several(|s| DescribedDelegationTokenRenewer {
                principal_type: s.string(),
                principal_name: s.string(),
            }),
        }),
        throttle_time_ms: s.i32(),
    }
}

pub(crate) fn sasl_handshake_request(_version: i16, s: &mut Seed) -> SaslHandshakeRequest {
    SaslHandshakeRequest { mechanism: s.string() }
}

pub(crate) fn sasl_handshake_response(_version: i16, s: &mut Seed) -> SaslHandshakeResponse {
    SaslHandshakeResponse { error_code: s.i16(), mechanisms: s.several(Seed::string) }
}

pub(crate) fn sasl_authenticate_request(_version: i16, s: &mut Seed) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest { auth_bytes: s.opaque() }
}

pub(crate) fn sasl_authenticate_response(_version: i16, s: &mut Seed) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        error_code: s.i16(),
        error_message: s.some(),
        auth_bytes: s.opaque(),
        session_lifetime_ms: s.i64(),
    }
}
