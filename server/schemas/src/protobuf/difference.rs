//! Whether messages of one file are messages of another, and where they are not.
//!
//! The rules, and the words of the answer, are those of Confluent's registry: fields are told apart by their
//! numbers, messages by their names. Types that both files define themselves are compared where they stand;
//! those that are imported where a field has them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use super::Protobuf;
use crate::limits::{Budget, TooComplex};

/// Differences that are told.
const DIFFERENCES_MAX: usize = 1_000;
/// How far imported types lead to one another.
const DEPTH_MAX: usize = 200;

impl Protobuf {
    /// Why messages of `writer` may be no messages of this; empty where all of them are.
    pub(crate) fn cannot_read(
        &self,
        writer: &Protobuf,
        budget: &mut Budget,
    ) -> Result<Vec<String>, TooComplex> {
        let (original, update) = (Types::of(writer), Types::of(self));
        let mut comparison = Comparison {
            original,
            update,
            path: Vec::new(),
            seen: BTreeSet::new(),
            found: Vec::new(),
            depth: 0,
            budget,
        };
        if writer.checked.package() != self.checked.package() {
            comparison.add("PACKAGE_CHANGED");
        }
        let (before, after) = (&writer.checked, &self.checked);
        comparison.messages(&before.message_type, &after.message_type, before.package(), after.package())?;
        comparison.found.truncate(DIFFERENCES_MAX);
        Ok(comparison.found)
    }
}

/// What a type is.
#[derive(Clone, Copy)]
enum Defined<'a> {
    Message(&'a DescriptorProto),
    Enum,
}

/// The types that a file can speak of, by full name with its dot.
struct Types<'a> {
    by_name: HashMap<String, Defined<'a>>,
    /// The package of each file that was imported, by the full name of the type.
    packages: HashMap<String, &'a str>,
    is_own: HashMap<String, bool>,
    is_proto3: bool,
}

impl<'a> Types<'a> {
    fn of(file: &'a Protobuf) -> Types<'a> {
        let mut types = Types {
            by_name: HashMap::new(),
            packages: HashMap::new(),
            is_own: HashMap::new(),
            is_proto3: file.checked.syntax() == "proto3",
        };
        for imported in &file.imported {
            types.collect(imported, false);
        }
        types.collect(&file.checked, true);
        types
    }

    fn collect(&mut self, file: &'a FileDescriptorProto, is_own: bool) {
        let package = file.package();
        let prefix = if package.is_empty() { String::new() } else { format!(".{package}") };
        let mut left: Vec<(&'a DescriptorProto, String)> =
            file.message_type.iter().map(|message| (message, prefix.clone())).collect();
        let mut enums: Vec<String> =
            file.enum_type.iter().map(|one| format!("{prefix}.{}", one.name())).collect();
        while let Some((message, around)) = left.pop() {
            let name = format!("{around}.{}", message.name());
            left.extend(message.nested_type.iter().map(|nested| (nested, name.clone())));
            enums.extend(message.enum_type.iter().map(|one| format!("{name}.{}", one.name())));
            self.packages.insert(name.clone(), package);
            self.is_own.insert(name.clone(), is_own);
            self.by_name.insert(name, Defined::Message(message));
        }
        self.by_name.extend(enums.into_iter().map(|name| (name, Defined::Enum)));
    }

    fn message(&self, name: &str) -> Option<&'a DescriptorProto> {
        match self.by_name.get(name) {
            Some(Defined::Message(message)) => Some(message),
            _ => None,
        }
    }

    /// A full name without the package.
    fn local(&self, name: &str) -> String {
        let package = self.packages.get(name).copied().unwrap_or_default();
        let name = name.trim_start_matches('.');
        let rest = name.strip_prefix(package).and_then(|rest| rest.strip_prefix('.'));
        rest.filter(|_| !package.is_empty()).unwrap_or(name).to_owned()
    }

    fn kind(&self, field: &FieldDescriptorProto) -> Kind {
        match field.r#type() {
            Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 | Type::Bool | Type::Enum => {
                Kind::Scalar(Scalar::Number)
            }
            Type::Sint32 | Type::Sint64 => Kind::Scalar(Scalar::Signed),
            Type::String | Type::Bytes => Kind::Scalar(Scalar::StringOrBytes),
            Type::Fixed32 | Type::Sfixed32 => Kind::Scalar(Scalar::Fixed32),
            Type::Fixed64 | Type::Sfixed64 => Kind::Scalar(Scalar::Fixed64),
            Type::Float => Kind::Scalar(Scalar::Float),
            Type::Double => Kind::Scalar(Scalar::Double),
            Type::Message | Type::Group => {
                let message = self.message(field.type_name());
                let is_map = message.is_some_and(is_map_entry) && field.label() == Label::Repeated;
                if is_map { Kind::Map } else { Kind::Message }
            }
        }
    }

    /// How often a field may be there, where the source says so.
    fn label(&self, field: &FieldDescriptorProto) -> Option<Label> {
        let says_nothing = field.label() == Label::Optional && self.is_proto3 && !field.proto3_optional();
        let is_in_oneof = field.oneof_index.is_some() && !field.proto3_optional();
        (!says_nothing && !is_in_oneof).then(|| field.label())
    }
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Scalar(Scalar),
    Message,
    Map,
}

/// Types that are read as one another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Number,
    Signed,
    StringOrBytes,
    Fixed32,
    Fixed64,
    Float,
    Double,
}

struct Comparison<'a, 'b> {
    original: Types<'a>,
    update: Types<'a>,
    path: Vec<String>,
    /// Messages of the original that are compared already.
    seen: BTreeSet<String>,
    found: Vec<String>,
    depth: usize,
    budget: &'b mut Budget,
}

/// The fields of a message by number, each with the `oneof` that it stands in.
type ByNumber<'a> = BTreeMap<i32, (&'a FieldDescriptorProto, Option<&'a str>)>;

impl<'a> Comparison<'a, '_> {
    fn messages(
        &mut self,
        original: &'a [DescriptorProto],
        update: &'a [DescriptorProto],
        space_before: &str,
        space_after: &str,
    ) -> Result<(), TooComplex> {
        self.budget.spend(original.len() + update.len())?;
        let after: HashMap<&str, &DescriptorProto> =
            update.iter().map(|message| (message.name(), message)).collect();
        // The entries of maps are compared with their fields.
        for before in original.iter().filter(|message| !is_map_entry(message)) {
            let full = |space: &str| {
                let space = if space.is_empty() {
                    String::new()
                } else {
                    format!(".{}", space.trim_start_matches('.'))
                };
                format!("{space}.{}", before.name())
            };
            self.path.push(before.name().to_owned());
            match after.get(before.name()) {
                Some(after) => self.message(before, after, &full(space_before), &full(space_after))?,
                None => self.add("MESSAGE_REMOVED"),
            }
            self.path.pop();
        }
        Ok(())
    }

    fn message(
        &mut self,
        before: &'a DescriptorProto,
        after: &'a DescriptorProto,
        name_before: &str,
        name_after: &str,
    ) -> Result<(), TooComplex> {
        if self.seen.insert(name_before.to_owned()) {
            self.fields(before, after)?;
        }
        self.messages(&before.nested_type, &after.nested_type, name_before, name_after)
    }

    fn fields(&mut self, before: &'a DescriptorProto, after: &'a DescriptorProto) -> Result<(), TooComplex> {
        self.budget.spend(before.field.len() + after.field.len() + 1)?;
        let (originals, updates) = (by_number(before), by_number(after));
        self.joined_to_oneofs(after, &originals, &updates);
        let survives = |oneof: &str| {
            let is_kept = after.oneof_decl.iter().any(|one| one.name() == oneof);
            is_kept
                || originals
                    .iter()
                    .any(|(number, (_, of))| *of == Some(oneof) && updates.contains_key(number))
        };
        let numbers: BTreeSet<i32> = originals.keys().chain(updates.keys()).copied().collect();
        for number in numbers {
            let place = number.to_string();
            match (originals.get(&number), updates.get(&number)) {
                (Some((_, Some(oneof))), None) => {
                    if survives(oneof) {
                        self.at(&[oneof, &place], "ONEOF_FIELD_REMOVED");
                    }
                }
                (Some((field, None)), None) => {
                    if field.label() == Label::Required {
                        self.at(&[&place], "REQUIRED_FIELD_REMOVED");
                    }
                }
                (None, Some((field, None))) => {
                    if field.label() == Label::Required {
                        self.at(&[&place], "REQUIRED_FIELD_ADDED");
                    }
                }
                (Some((original, _)), Some((update, oneof))) => {
                    let depth = self.path.len();
                    self.path.extend(oneof.map(str::to_owned));
                    self.path.push(place);
                    self.field(original, update)?;
                    self.path.truncate(depth);
                }
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// Fields that were independent and now exclude each other.
    fn joined_to_oneofs(
        &mut self,
        after: &DescriptorProto,
        originals: &ByNumber<'_>,
        updates: &ByNumber<'_>,
    ) {
        for oneof in &after.oneof_decl {
            let members = updates.iter().filter(|(_, (_, of))| *of == Some(oneof.name()));
            let mut groups = BTreeSet::new();
            let mut moved_in = 0;
            for (number, _) in members {
                match originals.get(number) {
                    Some((_, Some(group))) => {
                        groups.insert((*group).to_owned());
                    }
                    Some((_, None)) => {
                        groups.insert(number.to_string());
                        moved_in += 1;
                    }
                    None => {}
                }
            }
            if groups.len() > 1 {
                let what = if moved_in > 1 {
                    "MULTIPLE_FIELDS_MOVED_TO_ONEOF"
                } else {
                    "FIELD_MOVED_TO_EXISTING_ONEOF"
                };
                self.at(&[oneof.name()], what);
            }
        }
    }

    fn field(
        &mut self,
        before: &FieldDescriptorProto,
        after: &FieldDescriptorProto,
    ) -> Result<(), TooComplex> {
        let labels = (self.original.label(before), self.update.label(after));
        self.types(before, after, labels)
    }

    fn types(
        &mut self,
        before: &FieldDescriptorProto,
        after: &FieldDescriptorProto,
        labels: (Option<Label>, Option<Label>),
    ) -> Result<(), TooComplex> {
        match (self.original.kind(before), self.update.kind(after)) {
            (Kind::Scalar(one), Kind::Scalar(other)) if one != other => self.add("FIELD_SCALAR_KIND_CHANGED"),
            (Kind::Scalar(kind), Kind::Scalar(_)) => {
                let is_other = matches!(labels, (Some(one), Some(other)) if one != other);
                if is_other && kind != Scalar::StringOrBytes {
                    self.add("FIELD_NUMERIC_LABEL_CHANGED");
                }
            }
            (Kind::Message, Kind::Message) => self.message_types(before.type_name(), after.type_name())?,
            (Kind::Map, Kind::Map) => {
                let entry =
                    |types: &Types<'a>, field: &FieldDescriptorProto| types.message(field.type_name());
                let (before, after) = (entry(&self.original, before), entry(&self.update, after));
                let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
                let part = |message: &'a DescriptorProto, number: i32| {
                    message.field.iter().find(|field| field.number() == number)
                };
                for number in [1, 2] {
                    if let (Some(before), Some(after)) = (part(before, number), part(after, number)) {
                        self.types(before, after, (None, None))?;
                    }
                }
            }
            _ => self.add("FIELD_KIND_CHANGED"),
        }
        Ok(())
    }

    fn message_types(&mut self, before: &str, after: &str) -> Result<(), TooComplex> {
        let (local_before, local_after) = (self.original.local(before), self.update.local(after));
        if local_before != local_after {
            self.add("FIELD_NAMED_TYPE_CHANGED");
            return Ok(());
        }
        let is_own = |types: &Types<'_>, name: &str| types.is_own.get(name).copied().unwrap_or(false);
        if is_own(&self.original, before) && is_own(&self.update, after) {
            // Both are compared where they stand.
            return Ok(());
        }
        let (Some(original), Some(update)) = (self.original.message(before), self.update.message(after))
        else {
            return Ok(());
        };
        if self.depth >= DEPTH_MAX {
            return Err(TooComplex);
        }
        self.depth += 1;
        let found = self.found.len();
        let path = std::mem::take(&mut self.path);
        self.path.extend(local_before.split('.').map(str::to_owned));
        let compared = self.message(original, update, before, after);
        self.path = path;
        self.depth -= 1;
        compared?;
        if self.found.len() > found {
            self.add("FIELD_NAMED_TYPE_CHANGED");
        }
        Ok(())
    }

    fn at(&mut self, places: &[&str], what: &str) {
        let depth = self.path.len();
        self.path.extend(places.iter().map(|place| (*place).to_owned()));
        self.add(what);
        self.path.truncate(depth);
    }

    fn add(&mut self, what: &str) {
        if self.found.len() <= DIFFERENCES_MAX {
            let path = format!("#/{}", self.path.join("/"));
            self.found.push(format!("{{errorType:\"{what}\", description:\"{}\"}}", words(what, &path)));
        }
    }
}

fn by_number(message: &DescriptorProto) -> ByNumber<'_> {
    let oneof = |field: &FieldDescriptorProto| {
        let at = usize::try_from(field.oneof_index?).ok()?;
        (!field.proto3_optional()).then(|| message.oneof_decl.get(at).map(|oneof| oneof.name()))?
    };
    message.field.iter().map(|field| (field.number(), (field, oneof(field)))).collect()
}

/// What is said of a difference; first the new schema is named, then the old.
fn words(what: &str, path: &str) -> String {
    match what {
        "PACKAGE_CHANGED" => {
            format!("The package at '{path}' in the %s schema does not match the package in the %s schema")
        }
        "MESSAGE_REMOVED" => {
            format!("The %s schema is missing a MESSAGE type at path '{path}' in the %s schema")
        }
        "FIELD_KIND_CHANGED" => {
            format!("The type of a field at path '{path}' in the %s schema does not match the %s schema")
        }
        "FIELD_SCALAR_KIND_CHANGED" => format!(
            "The kind of a SCALAR field at path '{path}' in the %s schema does not match its kind in the %s schema"
        ),
        "FIELD_NAMED_TYPE_CHANGED" => format!(
            "The type of a MESSAGE field at path '{path}' in the %s schema does not match its type in the %s schema"
        ),
        "FIELD_NUMERIC_LABEL_CHANGED" => format!(
            "The label for a NUMERIC field at path '{path}' in the %s schema does not match its label in the %s \
             schema"
        ),
        "REQUIRED_FIELD_ADDED" => {
            format!("A required field  at path '{path}' in the %s schema is missing in the %s schema")
        }
        "REQUIRED_FIELD_REMOVED" => {
            format!("The %s schema is missing a required field at path: '{path}' in the %s schema")
        }
        "ONEOF_FIELD_REMOVED" => {
            format!("The %s schema is missing a oneof field at path '{path}' in the %s schema")
        }
        "MULTIPLE_FIELDS_MOVED_TO_ONEOF" => format!(
            "Multiple fields in the oneof at path '{path}' in the %s schema are outside a oneof in the %s schema"
        ),
        "FIELD_MOVED_TO_EXISTING_ONEOF" => format!(
            "A field in the oneof at path '{path}' in the %s schema is outside an existing oneof in the %s schema"
        ),
        _ => String::new(),
    }
}
