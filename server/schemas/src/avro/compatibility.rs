//! Whether data that was written with one schema can be read with another, and if not, why.
//!
//! The rules are those of schema resolution in Avro's specification; places, order and words of the reasons
//! are those that Confluent's registry answers with. `%s` stands for which of both schemas is meant, the
//! reader's and the writer's in turn; [`crate::compatibility`] puts in `new` and `old`.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Avro, DEPTH_MAX, Field, Named, NamedId, NamedKind, Primitive, Type};
use crate::limits::{Budget, TooComplex};

impl Avro {
    /// Why this cannot read what was written with `writer`; empty where it can.
    pub(crate) fn cannot_read(&self, writer: &Avro, budget: &mut Budget) -> Result<Vec<String>, TooComplex> {
        let mut pair =
            Pair { reader: self, writer, seen: BTreeSet::new(), place: Vec::new(), depth: 0, budget };
        let mut found = Vec::new();
        pair.compare(&self.root, &writer.root, &mut found)?;
        Ok(found)
    }
}

struct Pair<'a> {
    reader: &'a Avro,
    writer: &'a Avro,
    /// Named types that are compared already, or are being compared: what a cycle comes back to gets along.
    seen: BTreeSet<(NamedId, NamedId)>,
    place: Vec<String>,
    depth: usize,
    budget: &'a mut Budget,
}

type Found = Vec<String>;

impl Pair<'_> {
    fn compare(&mut self, reader: &Type, writer: &Type, found: &mut Found) -> Result<(), TooComplex> {
        self.budget.spend(1)?;
        if self.depth >= DEPTH_MAX {
            return Err(TooComplex);
        }
        self.depth += 1;
        match (reader, writer) {
            (Type::Primitive { kind: reader_kind, .. }, Type::Primitive { kind: writer_kind, .. }) => {
                if !promotes(*writer_kind, *reader_kind) {
                    self.mismatch(reader, writer, found);
                }
            }
            (Type::Array { items: reader, .. }, Type::Array { items: writer, .. }) => {
                self.within("items", |pair| pair.compare(reader, writer, found))?;
            }
            (Type::Map { values: reader, .. }, Type::Map { values: writer, .. }) => {
                self.within("values", |pair| pair.compare(reader, writer, found))?;
            }
            (Type::Union(_), Type::Union(branches)) => {
                for (at, branch) in branches.iter().enumerate() {
                    self.within(&at.to_string(), |pair| {
                        let mut of_branch = Vec::new();
                        pair.compare(reader, branch, &mut of_branch)?;
                        if !of_branch.is_empty() {
                            pair.lacks_branch(branch, found);
                        }
                        Ok(())
                    })?;
                }
            }
            (_, Type::Union(branches)) => {
                for (at, branch) in branches.iter().enumerate() {
                    self.within(&at.to_string(), |pair| pair.compare(reader, branch, found))?;
                }
            }
            (Type::Union(branches), _) => {
                if !self.is_read_by_any(branches, writer)? {
                    self.lacks_branch(writer, found);
                }
            }
            (Type::Named(reader_id), Type::Named(writer_id)) => {
                self.compare_named(*reader_id, *writer_id, reader, writer, found)?;
            }
            _ => self.mismatch(reader, writer, found),
        }
        self.depth -= 1;
        Ok(())
    }

    fn is_read_by_any(&mut self, branches: &[Type], writer: &Type) -> Result<bool, TooComplex> {
        for branch in branches {
            // What was assumed on the way to a branch that does not fit may not count for the next.
            let seen = self.seen.clone();
            self.budget.spend(seen.len())?;
            let mut of_branch = Vec::new();
            self.compare(branch, writer, &mut of_branch)?;
            if of_branch.is_empty() {
                return Ok(true);
            }
            self.seen = seen;
        }
        Ok(false)
    }

    fn compare_named(
        &mut self,
        reader_id: NamedId,
        writer_id: NamedId,
        reader_type: &Type,
        writer_type: &Type,
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        let (reader, writer) = (&self.reader.named[reader_id], &self.writer.named[writer_id]);
        if std::mem::discriminant(&reader.kind) != std::mem::discriminant(&writer.kind) {
            self.mismatch(reader_type, writer_type, found);
            return Ok(());
        }
        if !self.seen.insert((reader_id, writer_id)) {
            return Ok(());
        }
        if !is_named_alike(reader, writer) {
            let expected = format!("expected: {}", writer.name.full());
            self.within("name", |pair| {
                let description = format!("The name of the schema has changed (path '{}')", pair.path());
                pair.add("NAME_MISMATCH", &description, &expected, found);
                Ok(())
            })?;
        }
        match (&reader.kind, &writer.kind) {
            (NamedKind::Fixed { size }, NamedKind::Fixed { size: written }) if size != written => {
                let sizes = format!("expected: {written}, found: {size}");
                self.within("size", |pair| {
                    let path = pair.path();
                    let description = format!(
                        "The size of FIXED type field at path '{path}' in the %s schema does not match with \
                         the %s schema"
                    );
                    pair.add("FIXED_SIZE_MISMATCH", &description, &sizes, found);
                    Ok(())
                })
            }
            (NamedKind::Enum { symbols, default: None }, NamedKind::Enum { symbols: written, .. }) => {
                self.budget.spend(symbols.len() + written.len())?;
                let known: BTreeSet<&str> = symbols.iter().map(String::as_str).collect();
                let missing: Vec<&str> =
                    written.iter().map(String::as_str).filter(|symbol| !known.contains(symbol)).collect();
                if missing.is_empty() {
                    return Ok(());
                }
                let missing = format!("[{}]", missing.join(", "));
                self.within("symbols", |pair| {
                    let path = pair.path();
                    let description = format!(
                        "The %s schema is missing enum symbols '{missing}' at path '{path}' in the %s schema"
                    );
                    pair.add("MISSING_ENUM_SYMBOLS", &description, &missing, found);
                    Ok(())
                })
            }
            (NamedKind::Record { fields, .. }, NamedKind::Record { fields: written, .. }) => {
                self.within("fields", |pair| pair.compare_fields(fields, written, found))
            }
            _ => Ok(()),
        }
    }

    fn compare_fields(
        &mut self,
        fields: &[Field],
        written: &[Field],
        found: &mut Found,
    ) -> Result<(), TooComplex> {
        self.budget.spend(fields.len() + written.len())?;
        let by_name: std::collections::HashMap<&str, &Field> =
            written.iter().map(|field| (field.name.as_str(), field)).collect();
        for (at, field) in fields.iter().enumerate() {
            let names = std::iter::once(&field.name).chain(&field.aliases);
            let same = names.into_iter().find_map(|name| by_name.get(name.as_str()));
            self.within(&at.to_string(), |pair| match same {
                Some(same) => pair.within("type", |pair| pair.compare(&field.kind, &same.kind, found)),
                None if field.default.is_some() || pair.has_default_symbol(&field.kind) => Ok(()),
                None => {
                    let path = pair.path();
                    let description = format!(
                        "The field '{}' at path '{path}' in the %s schema has no default value and is \
                         missing in the %s schema",
                        field.name
                    );
                    pair.add("READER_FIELD_MISSING_DEFAULT_VALUE", &description, &field.name, found);
                    Ok(())
                }
            })?;
        }
        Ok(())
    }

    fn has_default_symbol(&self, kind: &Type) -> bool {
        let Type::Named(id) = kind else { return false };
        matches!(&self.reader.named[*id].kind, NamedKind::Enum { default: Some(_), .. })
    }

    fn mismatch(&mut self, reader: &Type, writer: &Type, found: &mut Found) {
        let (reader, writer) = (upper(self.reader, reader), upper(self.writer, writer));
        let path = self.path();
        let description =
            format!("The type (path '{path}') of a field in the %s schema does not match with the %s schema");
        let info = format!("reader type: {reader} not compatible with writer type: {writer}");
        self.add("TYPE_MISMATCH", &description, &info, found);
    }

    fn lacks_branch(&mut self, writer: &Type, found: &mut Found) {
        let path = self.path();
        let description =
            format!("The %s schema is missing a type inside a union field at path '{path}' in the %s schema");
        let info = format!("reader union lacking writer type: {}", upper(self.writer, writer));
        self.add("MISSING_UNION_BRANCH", &description, &info, found);
    }

    #[allow(clippy::unused_self, reason = "it reads as what the pair does")]
    fn add(&mut self, error: &str, description: &str, info: &str, found: &mut Found) {
        found.push(format!("{{errorType:'{error}', description:'{description}', additionalInfo:'{info}'}}"));
    }

    fn within(
        &mut self,
        place: &str,
        what: impl FnOnce(&mut Self) -> Result<(), TooComplex>,
    ) -> Result<(), TooComplex> {
        self.place.push(place.to_owned());
        let done = what(self);
        self.place.pop();
        done
    }

    fn path(&self) -> String {
        let mut path = "/".to_owned();
        for (at, place) in self.place.iter().enumerate() {
            let _ = write!(path, "{}{place}", if at == 0 { "" } else { "/" });
        }
        path
    }
}

/// Whether a value of `writer` is read as one of `reader`.
fn promotes(writer: Primitive, reader: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    writer == reader
        || matches!(
            (writer, reader),
            (Int, Long | Float | Double)
                | (Long, Float | Double)
                | (Float, Double)
                | (String, Bytes)
                | (Bytes, String)
        )
}

/// Whether the short names are the same, or an alias of the reader's is the writer's full name.
fn is_named_alike(reader: &Named, writer: &Named) -> bool {
    reader.name.short == writer.name.short || reader.aliases.contains(&writer.name)
}

/// The kind of a type as Java writes it.
fn upper(avro: &Avro, kind: &Type) -> String {
    let name = match kind {
        Type::Named(id) => avro.named[*id].kind.name().to_owned(),
        other => avro.kind_name(other),
    };
    name.to_ascii_uppercase()
}
