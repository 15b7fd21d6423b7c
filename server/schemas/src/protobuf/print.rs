//! From a file to its source, in the layout of Confluent's registry.
//!
//! Messages come before enums, fields before the `oneof`s, two blanks a level. The checked file stands beside
//! the written one, element by element, for the full names of the normal form.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto,
    ServiceDescriptorProto,
};

use super::options::{
    Options, escaped, of_enum, of_enum_value, of_field, of_file, of_message, of_method, of_oneof, of_service,
};

/// The highest number of a field, exclusive: written `max`.
const NUMBERS_END: i32 = 536_870_912;
/// The highest number of a constant.
const CONSTANT_MAX: i32 = i32::MAX;

/// The source of a file.
pub(super) fn file(
    source: &FileDescriptorProto,
    checked: &FileDescriptorProto,
    names_syntax: bool,
    is_normal: bool,
) -> String {
    let printer = Printer { is_normal, is_proto3: source.syntax() == "proto3" };
    let mut out = String::new();
    if names_syntax && (!is_normal || printer.is_proto3) {
        let syntax = if source.syntax().is_empty() { "proto2" } else { source.syntax() };
        let _ = writeln!(out, "syntax = \"{syntax}\";");
    }
    if let Some(package) = &source.package {
        let _ = writeln!(out, "package {package};");
    }
    printer.imports(source, &mut out);
    printer.option_lines(of_file(source.options.as_ref()), &mut out);
    if !source.message_type.is_empty() || !source.enum_type.is_empty() {
        out.push('\n');
    }
    for (message, checked) in source.message_type.iter().zip(&checked.message_type) {
        out.push_str(&printer.message(message, checked));
    }
    for constant in &source.enum_type {
        out.push_str(&printer.enumeration(constant));
    }
    if !source.extension.is_empty() {
        out.push('\n');
        out.push_str(&printer.extensions(&source.extension, &checked.extension));
    }
    if !source.service.is_empty() {
        out.push('\n');
    }
    for (service, checked) in source.service.iter().zip(&checked.service) {
        out.push_str(&printer.service(service, checked));
    }
    out
}

struct Printer {
    is_normal: bool,
    is_proto3: bool,
}

impl Printer {
    fn imports(&self, source: &FileDescriptorProto, out: &mut String) {
        let is_public = |at: usize| source.public_dependency.iter().any(|public| *public as usize == at);
        let all = source.dependency.iter().enumerate();
        let (public, plain): (Vec<_>, Vec<_>) = all.partition(|(at, _)| is_public(*at));
        if source.dependency.is_empty() {
            return;
        }
        out.push('\n');
        for (list, word) in [(plain, ""), (public, "public ")] {
            let mut names: Vec<&String> = list.into_iter().map(|(_, name)| name).collect();
            if self.is_normal {
                names.sort();
                names.dedup();
            }
            for name in names {
                let _ = writeln!(out, "import {word}\"{name}\";");
            }
        }
    }

    fn option_lines(&self, options: Options, out: &mut String) {
        let options = self.ordered(options);
        if !options.is_empty() {
            out.push('\n');
        }
        for option in options {
            let _ = writeln!(out, "option {option};");
        }
    }

    fn ordered(&self, mut options: Options) -> Options {
        if self.is_normal {
            options.sort();
        }
        options
    }

    fn message(&self, message: &DescriptorProto, checked: &DescriptorProto) -> String {
        let mut out = format!("message {} {{", message.name());
        self.body(message, checked, &mut out);
        out.push_str("}\n");
        out
    }

    fn body(&self, message: &DescriptorProto, checked: &DescriptorProto, out: &mut String) {
        let reserved = message
            .reserved_range
            .iter()
            .map(|range| range_of(range.start(), range.end().saturating_sub(1), NUMBERS_END - 1));
        self.reserved(reserved.collect(), &message.reserved_name, out);
        let mut section = String::new();
        self.option_lines(of_message(message.options.as_ref()), &mut section);
        indent(&section, out);
        let around = Around::of(message, checked);
        let fields = Fields::of(message, checked);
        let mut plain: Vec<_> =
            fields.iter().filter(|field| field.oneof.is_none() && !field.is_group()).collect();
        self.sort(&mut plain);
        let mut section = String::new();
        for field in &plain {
            section.push_str(&self.field(field, &around));
        }
        separated(&section, out);
        self.oneofs(&around, &fields, out);
        let mut section = String::new();
        for field in fields.iter().filter(|field| field.is_group() && field.oneof.is_none()) {
            section.push_str(&self.group(field, &around));
        }
        separated(&section, out);
        let mut section = String::new();
        for range in &message.extension_range {
            let _ = writeln!(
                section,
                "extensions {};",
                range_of(range.start(), range.end().saturating_sub(1), NUMBERS_END - 1)
            );
        }
        separated(&section, out);
        separated(&self.extensions(&message.extension, &checked.extension), out);
        let mut section = String::new();
        let groups: HashSet<&str> =
            fields.iter().filter(|field| field.is_group()).map(|field| field.short_type()).collect();
        for (nested, checked) in message.nested_type.iter().zip(&checked.nested_type) {
            let is_map = nested.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry);
            if !is_map && !groups.contains(nested.name()) {
                section.push_str(&self.message(nested, checked));
            }
        }
        for constant in &message.enum_type {
            section.push_str(&self.enumeration(constant));
        }
        separated(&section, out);
    }

    fn sort(&self, fields: &mut [&Field<'_>]) {
        if self.is_normal {
            fields.sort_by_key(|field| field.source.number());
        }
    }

    fn oneofs(&self, around: &Around<'_>, fields: &[Field<'_>], out: &mut String) {
        let mut sections = Vec::new();
        for (at, oneof) in around.source.oneof_decl.iter().enumerate() {
            let mut members: Vec<_> = fields.iter().filter(|field| field.oneof == Some(at)).collect();
            if members.is_empty() {
                continue;
            }
            self.sort(&mut members);
            let mut section = format!("oneof {} {{\n", oneof.name());
            let mut inner = String::new();
            for option in self.ordered(of_oneof(oneof.options.as_ref())) {
                let _ = writeln!(inner, "option {option};");
            }
            for field in &members {
                inner.push_str(&self.field(field, around));
            }
            indent(&inner, &mut section);
            section.push_str("}\n");
            sections.push((members[0].source.number(), section));
        }
        if self.is_normal {
            sections.sort_by_key(|(number, _)| *number);
        }
        let all: String = sections.into_iter().map(|(_, section)| section).collect();
        separated(&all, out);
    }

    fn field(&self, field: &Field<'_>, around: &Around<'_>) -> String {
        let label = match field.label(self.is_proto3) {
            Some(label) => format!("{label} "),
            None => String::new(),
        };
        let (kind, label) = match map_of(field, around) {
            Some((key, value)) => (format!("map<{}, {}>", self.kind(&key), self.kind(&value)), String::new()),
            None => (self.kind(field), label),
        };
        let mut options = of_field(field.source.options.as_ref());
        if let Some(default) = &field.source.default_value {
            let is_text = matches!(field.checked.r#type(), Type::String | Type::Bytes);
            options.push(if is_text {
                let escaped = if field.checked.r#type() == Type::Bytes {
                    default.clone()
                } else {
                    escaped(default.as_bytes())
                };
                format!("default = \"{escaped}\"")
            } else {
                format!("default = {default}")
            });
        }
        if let Some(name) = &field.source.json_name {
            options.push(format!("json_name = \"{}\"", escaped(name.as_bytes())));
        }
        let options = in_brackets(&self.ordered(options));
        format!("{label}{kind} {} = {}{options};\n", field.source.name(), field.source.number())
    }

    fn group(&self, field: &Field<'_>, around: &Around<'_>) -> String {
        let label = field.label(self.is_proto3).map_or(String::new(), |label| format!("{label} "));
        let name = field.short_type();
        let mut out = format!("{label}group {name} = {} {{", field.source.number());
        let nested = around.nested.get(name).map(|at| (&around.source.nested_type[*at], *at));
        if let Some((nested, at)) = nested
            && let Some(checked) = around.checked.nested_type.get(at)
        {
            self.body(nested, checked, &mut out);
        }
        out.push_str("}\n");
        out
    }

    fn kind(&self, field: &Field<'_>) -> String {
        match (&field.source.type_name, &field.checked.type_name) {
            (Some(_), Some(checked)) if self.is_normal => checked.clone(),
            (Some(name), _) => name.clone(),
            (None, _) => scalar(field.source.r#type()).to_owned(),
        }
    }

    fn enumeration(&self, of: &EnumDescriptorProto) -> String {
        let mut out = format!("enum {} {{", of.name());
        let reserved =
            of.reserved_range.iter().map(|range| range_of(range.start(), range.end(), CONSTANT_MAX));
        self.reserved(reserved.collect(), &of.reserved_name, &mut out);
        if of.reserved_range.is_empty() && of.reserved_name.is_empty() {
            out.push('\n');
        }
        for option in self.ordered(of_enum(of.options.as_ref())) {
            indent(&format!("option {option};\n"), &mut out);
        }
        let mut values: Vec<_> = of.value.iter().collect();
        if self.is_normal {
            values.sort_by_key(|value| (value.number(), value.name()));
        }
        for value in values {
            let options = in_brackets(&self.ordered(of_enum_value(value.options.as_ref())));
            indent(&format!("{} = {}{options};\n", value.name(), value.number()), &mut out);
        }
        out.push_str("}\n");
        out
    }

    fn reserved(&self, mut ranges: Vec<String>, names: &[String], out: &mut String) {
        if ranges.is_empty() && names.is_empty() {
            return;
        }
        out.push('\n');
        let mut names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        if self.is_normal {
            let first =
                |range: &String| range.split(' ').next().and_then(|number| number.parse::<i64>().ok());
            ranges.sort_by_key(first);
            names.sort();
            for one in ranges.into_iter().chain(names) {
                indent(&format!("reserved {one};\n"), out);
            }
            return;
        }
        for list in [ranges, names] {
            if !list.is_empty() {
                indent(&format!("reserved {};\n", list.join(", ")), out);
            }
        }
    }

    /// Extensions, those of one message together.
    fn extensions(&self, source: &[FieldDescriptorProto], checked: &[FieldDescriptorProto]) -> String {
        let nothing = DescriptorProto::default();
        let nowhere = Around::of(&nothing, &nothing);
        let mut blocks: Vec<(String, String)> = Vec::new();
        for (source, checked) in source.iter().zip(checked) {
            let of = if self.is_normal { checked.extendee() } else { source.extendee() };
            let field = Field { source, checked, oneof: None };
            let line = self.field(&field, &nowhere);
            match blocks.iter_mut().find(|(extendee, _)| extendee == of) {
                Some((_, lines)) => lines.push_str(&line),
                None => blocks.push((of.to_owned(), line)),
            }
        }
        let mut out = String::new();
        for (extendee, lines) in blocks {
            let _ = writeln!(out, "extend {extendee} {{");
            indent(&lines, &mut out);
            out.push_str("}\n");
        }
        out
    }

    fn service(&self, service: &ServiceDescriptorProto, checked: &ServiceDescriptorProto) -> String {
        let mut out = format!("service {} {{", service.name());
        let mut section = String::new();
        self.option_lines(of_service(service.options.as_ref()), &mut section);
        indent(&section, &mut out);
        let mut section = String::new();
        for (method, checked) in service.method.iter().zip(&checked.method) {
            section.push_str(&self.method(method, checked));
        }
        separated(&section, &mut out);
        out.push_str("}\n");
        out
    }

    fn method(&self, method: &MethodDescriptorProto, checked: &MethodDescriptorProto) -> String {
        let names = if self.is_normal { checked } else { method };
        let stream = |is_stream: bool| if is_stream { "stream " } else { "" };
        let mut out = format!(
            "rpc {} ({}{}) returns ({}{})",
            method.name(),
            stream(method.client_streaming()),
            names.input_type(),
            stream(method.server_streaming()),
            names.output_type()
        );
        let options = self.ordered(of_method(method.options.as_ref()));
        if !options.is_empty() {
            out.push_str(" {\n");
            for option in options {
                indent(&format!("option {option};\n"), &mut out);
            }
            out.push('}');
        }
        out.push_str(";\n");
        out
    }
}

/// The message that a field stands in, as it is written and as it is checked.
struct Around<'a> {
    source: &'a DescriptorProto,
    checked: &'a DescriptorProto,
    /// Places of the messages in it, by name; the first of a name counts.
    nested: HashMap<&'a str, usize>,
}

impl<'a> Around<'a> {
    fn of(source: &'a DescriptorProto, checked: &'a DescriptorProto) -> Around<'a> {
        let mut nested = HashMap::new();
        for (at, message) in source.nested_type.iter().enumerate() {
            nested.entry(message.name()).or_insert(at);
        }
        Around { source, checked, nested }
    }
}

/// A field as it is written, and as it is checked.
struct Field<'a> {
    source: &'a FieldDescriptorProto,
    checked: &'a FieldDescriptorProto,
    /// The `oneof` that it stands in; what `optional` makes is none.
    oneof: Option<usize>,
}

struct Fields;

impl Fields {
    fn of<'a>(source: &'a DescriptorProto, checked: &'a DescriptorProto) -> Vec<Field<'a>> {
        let both = source.field.iter().zip(&checked.field);
        let field = |(source, checked): (&'a FieldDescriptorProto, _)| {
            let oneof = source.oneof_index.filter(|_| !source.proto3_optional());
            Field { source, checked, oneof: oneof.and_then(|at| usize::try_from(at).ok()) }
        };
        both.map(field).collect()
    }
}

impl Field<'_> {
    fn is_group(&self) -> bool {
        self.source.r#type == Some(Type::Group as i32)
    }

    fn short_type(&self) -> &str {
        self.source.type_name().rsplit('.').next().unwrap_or_default()
    }

    fn label(&self, is_proto3: bool) -> Option<&'static str> {
        if self.oneof.is_some() {
            return None;
        }
        match self.source.label() {
            Label::Repeated => Some("repeated"),
            Label::Required => Some("required"),
            Label::Optional if is_proto3 && !self.source.proto3_optional() => None,
            Label::Optional => Some("optional"),
        }
    }
}

/// The key and the value of a map.
fn map_of<'a>(field: &Field<'_>, around: &Around<'a>) -> Option<(Field<'a>, Field<'a>)> {
    if field.source.label() != Label::Repeated {
        return None;
    }
    let name = field.short_type();
    let at = *around.nested.get(name)?;
    let (entry, checked) = (&around.source.nested_type[at], around.checked.nested_type.get(at)?);
    if !entry.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry) {
        return None;
    }
    let part = |number: i32| {
        let both = entry.field.iter().zip(&checked.field);
        let (source, checked) = both.into_iter().find(|(field, _)| field.number() == number)?;
        Some(Field { source, checked, oneof: None })
    };
    Some((part(1)?, part(2)?))
}

fn scalar(kind: Type) -> &'static str {
    match kind {
        Type::Double => "double",
        Type::Float => "float",
        Type::Int64 => "int64",
        Type::Uint64 => "uint64",
        Type::Int32 => "int32",
        Type::Fixed64 => "fixed64",
        Type::Fixed32 => "fixed32",
        Type::Bool => "bool",
        Type::String => "string",
        Type::Group => "group",
        Type::Message => "message",
        Type::Bytes => "bytes",
        Type::Uint32 => "uint32",
        Type::Enum => "enum",
        Type::Sfixed32 => "sfixed32",
        Type::Sfixed64 => "sfixed64",
        Type::Sint32 => "sint32",
        Type::Sint64 => "sint64",
    }
}

fn range_of(start: i32, last: i32, max: i32) -> String {
    if start == last {
        return start.to_string();
    }
    if last >= max { format!("{start} to max") } else { format!("{start} to {last}") }
}

fn in_brackets(options: &[String]) -> String {
    match options {
        [] => String::new(),
        [one] => format!(" [{one}]"),
        many => {
            let mut out = " [\n".to_owned();
            for (at, option) in many.iter().enumerate() {
                let comma = if at + 1 < many.len() { "," } else { "" };
                indent(&format!("{option}{comma}\n"), &mut out);
            }
            out.push(']');
            out
        }
    }
}

/// Adds a section after an empty line, unless it is empty.
fn separated(section: &str, out: &mut String) {
    if !section.is_empty() {
        out.push('\n');
        indent(section, out);
    }
}

fn indent(text: &str, out: &mut String) {
    for line in text.lines() {
        if line.is_empty() {
            out.push('\n');
        } else {
            let _ = writeln!(out, "  {line}");
        }
    }
}
