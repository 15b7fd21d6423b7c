//! Options, as they stand in a source: those that are not interpreted as they were written, and of a
//! descriptor, where they are, the ones that the language itself has.

use std::fmt::Write;

use prost_types::uninterpreted_option::NamePart;
use prost_types::{
    EnumOptions, EnumValueOptions, FieldOptions, FileOptions, MessageOptions, MethodOptions, OneofOptions,
    ServiceOptions, UninterpretedOption,
};

/// Options, each `name = value`.
pub(super) type Options = Vec<String>;

fn written(options: &[UninterpretedOption]) -> Options {
    options.iter().map(uninterpreted).collect()
}

fn flag(options: &mut Options, name: &str, value: Option<bool>) {
    options.extend(value.map(|value| format!("{name} = {value}")));
}

fn text(options: &mut Options, name: &str, value: Option<&String>) {
    options.extend(value.map(|value| format!("{name} = \"{}\"", escaped(value.as_bytes()))));
}

pub(super) fn of_file(options: Option<&FileOptions>) -> Options {
    let Some(of) = options else { return Options::new() };
    let mut options = written(&of.uninterpreted_option);
    text(&mut options, "java_package", of.java_package.as_ref());
    text(&mut options, "java_outer_classname", of.java_outer_classname.as_ref());
    flag(&mut options, "java_multiple_files", of.java_multiple_files);
    flag(&mut options, "java_string_check_utf8", of.java_string_check_utf8);
    if of.optimize_for.is_some() {
        options.push(format!("optimize_for = {}", of.optimize_for().as_str_name()));
    }
    text(&mut options, "go_package", of.go_package.as_ref());
    flag(&mut options, "cc_generic_services", of.cc_generic_services);
    flag(&mut options, "java_generic_services", of.java_generic_services);
    flag(&mut options, "py_generic_services", of.py_generic_services);
    flag(&mut options, "deprecated", of.deprecated);
    flag(&mut options, "cc_enable_arenas", of.cc_enable_arenas);
    text(&mut options, "objc_class_prefix", of.objc_class_prefix.as_ref());
    text(&mut options, "csharp_namespace", of.csharp_namespace.as_ref());
    text(&mut options, "swift_prefix", of.swift_prefix.as_ref());
    text(&mut options, "php_class_prefix", of.php_class_prefix.as_ref());
    text(&mut options, "php_namespace", of.php_namespace.as_ref());
    text(&mut options, "php_metadata_namespace", of.php_metadata_namespace.as_ref());
    text(&mut options, "ruby_package", of.ruby_package.as_ref());
    options
}

pub(super) fn of_message(options: Option<&MessageOptions>) -> Options {
    let Some(of) = options else { return Options::new() };
    let mut options = written(&of.uninterpreted_option);
    flag(&mut options, "message_set_wire_format", of.message_set_wire_format);
    flag(&mut options, "no_standard_descriptor_accessor", of.no_standard_descriptor_accessor);
    flag(&mut options, "deprecated", of.deprecated);
    options
}

pub(super) fn of_field(options: Option<&FieldOptions>) -> Options {
    let Some(of) = options else { return Options::new() };
    let mut options = written(&of.uninterpreted_option);
    if of.ctype.is_some() {
        options.push(format!("ctype = {}", of.ctype().as_str_name()));
    }
    flag(&mut options, "packed", of.packed);
    if of.jstype.is_some() {
        options.push(format!("jstype = {}", of.jstype().as_str_name()));
    }
    flag(&mut options, "lazy", of.lazy);
    flag(&mut options, "deprecated", of.deprecated);
    flag(&mut options, "weak", of.weak);
    options
}

pub(super) fn of_oneof(options: Option<&OneofOptions>) -> Options {
    options.map_or_else(Options::new, |of| written(&of.uninterpreted_option))
}

pub(super) fn of_enum(options: Option<&EnumOptions>) -> Options {
    let Some(of) = options else { return Options::new() };
    let mut options = written(&of.uninterpreted_option);
    flag(&mut options, "allow_alias", of.allow_alias);
    flag(&mut options, "deprecated", of.deprecated);
    options
}

pub(super) fn of_enum_value(options: Option<&EnumValueOptions>) -> Options {
    let Some(of) = options else { return Options::new() };
    let mut options = written(&of.uninterpreted_option);
    flag(&mut options, "deprecated", of.deprecated);
    options
}

pub(super) fn of_service(options: Option<&ServiceOptions>) -> Options {
    let Some(of) = options else { return Options::new() };
    let mut options = written(&of.uninterpreted_option);
    flag(&mut options, "deprecated", of.deprecated);
    options
}

pub(super) fn of_method(options: Option<&MethodOptions>) -> Options {
    let Some(of) = options else { return Options::new() };
    let mut options = written(&of.uninterpreted_option);
    flag(&mut options, "deprecated", of.deprecated);
    if of.idempotency_level.is_some() {
        options.push(format!("idempotency_level = {}", of.idempotency_level().as_str_name()));
    }
    options
}

/// An option as it is written.
fn uninterpreted(option: &UninterpretedOption) -> String {
    let part = |part: &NamePart| {
        if part.is_extension { format!("({})", part.name_part) } else { part.name_part.clone() }
    };
    let name = option.name.iter().map(part).collect::<Vec<_>>().join(".");
    let value = if let Some(word) = &option.identifier_value {
        word.clone()
    } else if let Some(number) = option.positive_int_value {
        number.to_string()
    } else if let Some(number) = option.negative_int_value {
        number.to_string()
    } else if let Some(number) = option.double_value {
        format!("{number:?}")
    } else if let Some(text) = &option.string_value {
        format!("\"{}\"", escaped(text))
    } else {
        format!("{{ {} }}", option.aggregate_value().trim())
    };
    format!("{name} = {value}")
}

/// A string between quotes.
pub(super) fn escaped(text: &[u8]) -> String {
    let mut out = String::new();
    for letter in String::from_utf8_lossy(text).chars() {
        match letter {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' | '\'' | '"' => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter.is_control() && letter.is_ascii() => {
                let _ = write!(out, "\\{:03o}", letter as u32);
            }
            letter => out.push(letter),
        }
    }
    out
}
