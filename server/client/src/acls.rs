//! The rules of who may do what, as they travel: types, patterns and operations by Kafka's numbers.

use super::Client;
use super::admin::{AdminError, Subject};
use crate::Code;
use strandline_protocol::messages::{
    AclCreation, CreateAclsRequest, DeleteAclsFilter, DeleteAclsRequest, DescribeAclsRequest,
};

impl Client {
    /// The rules that a filter means.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn acls(&mut self, filter: DeleteAclsFilter) -> Result<Vec<AclCreation>, AdminError> {
        let request = DescribeAclsRequest {
            resource_type_filter: filter.resource_type_filter,
            resource_name_filter: filter.resource_name_filter,
            pattern_type_filter: filter.pattern_type_filter,
            principal_filter: filter.principal_filter,
            host_filter: filter.host_filter,
            operation: filter.operation,
            permission_type: filter.permission_type,
        };
        let mut controller = self.dial_controller()?;
        let response = controller.call(&request).map_err(lost)?;
        Code::check(response.error_code).map_err(|code| refused(code, response.error_message))?;
        let rules = response.resources.into_iter().flat_map(|resource| {
            resource.acls.into_iter().map(move |acl| AclCreation {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                resource_pattern_type: resource.pattern_type,
                principal: acl.principal,
                host: acl.host,
                operation: acl.operation,
                permission_type: acl.permission_type,
            })
        });
        Ok(rules.collect())
    }

    /// Adds rules; those that are there already stay. When one is refused, the others may have been added.
    ///
    /// # Errors
    /// [`AdminError`], for the first that was refused.
    pub fn add_acls(&mut self, creations: Vec<AclCreation>) -> Result<(), AdminError> {
        let asked = creations.len();
        let mut controller = self.dial_controller()?;
        let response = controller.call(&CreateAclsRequest { creations }).map_err(lost)?;
        if response.results.len() != asked {
            return Err(AdminError::NotMentioned { subject: Subject::Permissions });
        }
        response.results.into_iter().try_for_each(|result| {
            Code::check(result.error_code).map_err(|code| refused(code, result.error_message))
        })
    }

    /// Removes the rules that any of the filters means, and tells them.
    ///
    /// # Errors
    /// [`AdminError`], for the first that was refused.
    pub fn remove_acls(&mut self, filters: Vec<DeleteAclsFilter>) -> Result<Vec<AclCreation>, AdminError> {
        let asked = filters.len();
        let mut controller = self.dial_controller()?;
        let response = controller.call(&DeleteAclsRequest { filters }).map_err(lost)?;
        if response.filter_results.len() != asked {
            return Err(AdminError::NotMentioned { subject: Subject::Permissions });
        }
        let mut removed = Vec::new();
        for result in response.filter_results {
            Code::check(result.error_code).map_err(|code| refused(code, result.error_message))?;
            for rule in result.matching_acls {
                Code::check(rule.error_code).map_err(|code| refused(code, rule.error_message))?;
                removed.push(AclCreation {
                    resource_type: rule.resource_type,
                    resource_name: rule.resource_name,
                    resource_pattern_type: rule.pattern_type,
                    principal: rule.principal,
                    host: rule.host,
                    operation: rule.operation,
                    permission_type: rule.permission_type,
                });
            }
        }
        Ok(removed)
    }
}

fn lost(source: crate::RequestError) -> AdminError {
    AdminError::Request { subject: Subject::Permissions, source }
}

fn refused(code: Code, message: Option<String>) -> AdminError {
    AdminError::Refused { subject: Subject::Permissions, code, message }
}
