//! Samples of what shows and changes settings.

use strandline_protocol::messages::*;

use super::{Seed, only};

pub(crate) fn describe_configs_request(version: i16, s: &mut Seed) -> DescribeConfigsRequest {
    DescribeConfigsRequest {
        resources: s.several(|s| DescribeConfigsResource {
            resource_type: s.i8(),
            resource_name: s.string(),
            configuration_keys: Some(s.several(Seed::string)),
        }),
        include_synonyms: true,
        include_documentation: version >= 3,
    }
}

pub(crate) fn describe_configs_response(_version: i16, s: &mut Seed) -> DescribeConfigsResponse {
    DescribeConfigsResponse {
        throttle_time_ms: s.i32(),
        results: s.several(|s| DescribeConfigsResult {
            error_code: s.i16(),
            error_message: s.some(),
            resource_type: s.i8(),
            resource_name: s.string(),
            configs: s.several(|s| DescribeConfigsResourceResult {
                name: s.string(),
                value: s.some(),
                read_only: true,
                config_source: s.i8(),
                is_sensitive: true,
                synonyms: s.several(|s| DescribeConfigsSynonym {
                    name: s.string(),
                    value: s.some(),
                    source: s.i8(),
                }),
                config_type: s.i8(),
                documentation: s.some(),
            }),
        }),
    }
}

pub(crate) fn incremental_alter_configs_request(
    _version: i16,
    s: &mut Seed,
) -> IncrementalAlterConfigsRequest {
    IncrementalAlterConfigsRequest {
        resources: s.several(|s| IncrementalAlterConfigsResource {
            resource_type: s.i8(),
            resource_name: s.string(),
            configs: s.several(|s| IncrementalAlterableConfig {
                name: s.string(),
                config_operation: s.i8(),
                value: s.some(),
            }),
        }),
        validate_only: true,
    }
}

fn alter_configs_resource_response(s: &mut Seed) -> AlterConfigsResourceResponse {
    AlterConfigsResourceResponse {
        error_code: s.i16(),
        error_message: s.some(),
        resource_type: s.i8(),
        resource_name: s.string(),
    }
}

pub(crate) fn incremental_alter_configs_response(
    _version: i16,
    s: &mut Seed,
) -> IncrementalAlterConfigsResponse {
    IncrementalAlterConfigsResponse {
        throttle_time_ms: s.i32(),
        responses: s.several(alter_configs_resource_response),
    }
}

pub(crate) fn alter_configs_request(_version: i16, s: &mut Seed) -> AlterConfigsRequest {
    AlterConfigsRequest {
        resources: s.several(|s| AlterConfigsResource {
            resource_type: s.i8(),
            resource_name: s.string(),
            configs: s.several(|s| AlterableConfig { name: s.string(), value: s.some() }),
        }),
        validate_only: true,
    }
}

pub(crate) fn alter_configs_response(_version: i16, s: &mut Seed) -> AlterConfigsResponse {
    AlterConfigsResponse { throttle_time_ms: s.i32(), responses: s.several(alter_configs_resource_response) }
}

pub(crate) fn list_config_resources_request(version: i16, s: &mut Seed) -> ListConfigResourcesRequest {
    ListConfigResourcesRequest { resource_types: only(version >= 1, s.several(Seed::i8)) }
}

pub(crate) fn list_config_resources_response(_version: i16, s: &mut Seed) -> ListConfigResourcesResponse {
    ListConfigResourcesResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        config_resources: s.several(|s| ConfigResource { resource_name: s.string(), resource_type: s.i8() }),
    }
}
