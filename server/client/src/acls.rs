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
        let mut controller = self.dial_controller()?;
        let mut response = controller.call(&DescribeAclsRequest::from(filter)).map_err(lost)?;
        let message = response.error_message.take();
        Code::check(response.error_code).map_err(|code| refused(code, message))?;
        Ok(response.rules().collect())
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
            for mut rule in result.matching_acls {
                let message = rule.error_message.take();
                Code::check(rule.error_code).map_err(|code| refused(code, message))?;
                removed.push(rule.into());
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
