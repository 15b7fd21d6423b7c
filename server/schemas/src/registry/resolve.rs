//! References, followed to the texts that they stand for.

use std::collections::HashSet;

use crate::definition::{Reference, SchemaType};
use crate::limits::{REFERRED_BYTES_MAX, REFERRED_MAX, Referred};
use crate::state::State;
use crate::subject::Subject;

/// How long a chain of references is.
const DEPTH_MAX: usize = 100;

/// The texts that a schema of `subject` refers to, each before those that use it.
pub(super) fn referred(
    state: &State,
    subject: &Subject,
    schema_type: SchemaType,
    references: &[Reference],
) -> Result<Vec<Referred>, String> {
    let mut walk = Walk { state, schema_type, seen: HashSet::new(), found: Vec::new(), bytes: 0 };
    walk.follow(subject, references, 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    state: &'a State,
    schema_type: SchemaType,
    /// Names that are found, or are being followed: the first one counts.
    seen: HashSet<String>,
    found: Vec<Referred>,
    bytes: usize,
}

impl Walk<'_> {
    fn follow(&mut self, subject: &Subject, references: &[Reference], depth: usize) -> Result<(), String> {
        if depth >= DEPTH_MAX {
            return Err(format!("references lead further than {DEPTH_MAX} schemas"));
        }
        for reference in references {
            if reference.name.is_empty() {
                return Err(format!("a reference to subject {} has no name", reference.subject));
            }
            if !self.seen.insert(reference.name.clone()) {
                continue;
            }
            if self.seen.len() > REFERRED_MAX {
                return Err(format!("the schema refers to more than {REFERRED_MAX} others"));
            }
            let of = subject.sibling(&reference.subject);
            let entry = match reference.version {
                -1 => self.state.latest(&of).map(|(_, entry)| entry),
                version => self.state.entry(&of, version),
            };
            let Some(entry) = entry else {
                let Reference { name, subject, version } = reference;
                return Err(format!(
                    "No schema reference found for subject \"{subject}\" and version {version} ({name})"
                ));
            };
            if entry.definition.schema_type != self.schema_type {
                return Err(format!(
                    "reference {} is a schema of {}, not of {}",
                    reference.name, entry.definition.schema_type, self.schema_type
                ));
            }
            self.bytes += entry.definition.text.len();
            if self.bytes > REFERRED_BYTES_MAX {
                return Err(format!("what the schema refers to has more than {REFERRED_BYTES_MAX} bytes"));
            }
            self.follow(&of, &entry.definition.references, depth + 1)?;
            self.found.push(Referred { name: reference.name.clone(), text: entry.definition.text.clone() });
        }
        Ok(())
    }
}
