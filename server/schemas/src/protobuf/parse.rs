//! From a text to a file that is checked.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use protox::file::{File, FileResolver, GoogleFileResolver};

use super::scan::scan;
use super::{Protobuf, print};
use crate::limits::{Referred, TEXT_BYTES_MAX};

/// What the file itself is called, unless it is a reference.
const NAME: &str = "default";
/// How deep brackets nest.
const DEPTH_MAX: usize = 64;
/// Parts of the name of a package.
const PACKAGE_PARTS_MAX: usize = 64;
/// Bytes of the full names of all that the files define: each name is short, and full below others.
const NAMES_BYTES_MAX: usize = 16 << 20;
/// Bytes of a message of an error.
const ERROR_BYTES_MAX: usize = 2_000;

/// Files that Confluent's registry has built in, by what they define.
const BUILT_IN: [(&str, &str); 2] = [
    (
        "confluent/meta.proto",
        "syntax = \"proto3\"; package confluent; import \"google/protobuf/descriptor.proto\"; \
         option java_package = \"io.confluent.protobuf\"; option java_outer_classname = \"MetaProto\"; \
         message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; \
         repeated Rule rules = 4; } \
         message Rule { string name = 1; string doc = 2; string expr = 3; string sql = 4; } \
         extend google.protobuf.FileOptions { Meta file_meta = 1088; } \
         extend google.protobuf.MessageOptions { Meta message_meta = 1088; } \
         extend google.protobuf.FieldOptions { Meta field_meta = 1088; } \
         extend google.protobuf.EnumOptions { Meta enum_meta = 1088; } \
         extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }",
    ),
    (
        "confluent/type/decimal.proto",
        "syntax = \"proto3\"; package confluent.type; option java_package = \"io.confluent.protobuf.type\"; \
         option java_multiple_files = true; option java_outer_classname = \"DecimalProto\"; \
         message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }",
    ),
];

impl Protobuf {
    /// Reads a file that may import what is referred to.
    pub fn parse(text: &str, referred: &[Referred]) -> Result<Protobuf, String> {
        let names = Names::default();
        let (main, names_syntax) = read(NAME, text, &names)?;
        let source = main.file_descriptor_proto().clone();
        let files = Files { main, referred: referred.to_vec(), names };
        let mut compiler = protox::Compiler::with_file_resolver(files);
        compiler.include_imports(true).include_source_info(false);
        compiler.open_file(NAME).map_err(|error| shortened(&error))?;
        let pool = compiler.descriptor_pool();
        let checked = pool.get_file_by_name(NAME).ok_or("the file is not among what was compiled")?;
        let imported = compiler.file_descriptor_set().file;
        Ok(Protobuf {
            source,
            names_syntax,
            bytes: checked.encode_to_vec(),
            checked: checked.file_descriptor_proto().clone(),
            imported: imported.into_iter().filter(|file| file.name() != NAME).collect(),
        })
    }
}

struct Files {
    main: File,
    referred: Vec<Referred>,
    names: Names,
}

/// What the full names of files have taken so far. The compiler may ask from any thread.
#[derive(Default)]
struct Names(Mutex<usize>);

impl Names {
    /// Counts those of one more file.
    fn count(&self, file: &FileDescriptorProto) -> Result<(), String> {
        let package = file.package();
        if package.split('.').count() > PACKAGE_PARTS_MAX {
            return Err(format!("the name of the package has more than {PACKAGE_PARTS_MAX} parts"));
        }
        let around = package.len();
        let mut bytes: usize = file.message_type.iter().map(|message| of_message(message, around)).sum();
        bytes +=
            of_enums(&file.enum_type, around) + file.extension.iter().map(of_field(around)).sum::<usize>();
        for service in &file.service {
            let full = full(around, service.name());
            bytes +=
                full + service.method.iter().map(|method| self::full(full, method.name())).sum::<usize>();
        }
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *taken += bytes;
        match *taken {
            ..=NAMES_BYTES_MAX => Ok(()),
            _ => Err(format!("all names have more than {NAMES_BYTES_MAX} bytes in full")),
        }
    }
}

/// Bytes of a full name below one of so many.
fn full(around: usize, name: &str) -> usize {
    around + 1 + name.len()
}

/// Bytes of the names that a field has in full: its own, and that of its type, which may be called by less.
fn of_field(around: usize) -> impl Fn(&FieldDescriptorProto) -> usize {
    move |field| full(around, field.name()) + full(around, field.type_name())
}

fn of_message(message: &DescriptorProto, around: usize) -> usize {
    let around = full(around, message.name());
    around
        + message.field.iter().chain(&message.extension).map(of_field(around)).sum::<usize>()
        + message.oneof_decl.iter().map(|oneof| full(around, oneof.name())).sum::<usize>()
        + of_enums(&message.enum_type, around)
        + message.nested_type.iter().map(|nested| of_message(nested, around)).sum::<usize>()
}

fn of_enums(enums: &[EnumDescriptorProto], around: usize) -> usize {
    let of_one = |constant: &EnumDescriptorProto| {
        // Its values stand beside it.
        let values = constant.value.iter().map(|value| full(around, value.name()));
        full(around, constant.name()) + values.sum::<usize>()
    };
    enums.iter().map(of_one).sum()
}

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == NAME {
            return Ok(self.main.clone());
        }
        if let Some(referred) = self.referred.iter().find(|referred| referred.name == name) {
            return read(name, &referred.text, &self.names).map(|(file, _)| file).map_err(protox::Error::new);
        }
        if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            return File::from_source(name, text);
        }
        GoogleFileResolver::new().open_file(name)
    }
}

/// The source, or the descriptor in base64.
///
/// A descriptor is read as the source that it says: the compiler believes what a descriptor has in it, and a
/// stranger's may have anything. What is stored is that source in any case.
fn read(name: &str, text: &str, names: &Names) -> Result<(File, bool), String> {
    let descriptor = decoded(text);
    let written = descriptor.map(|descriptor| written(&descriptor)).transpose()?;
    let text = written.as_deref().unwrap_or(text);
    let found = scan(text);
    if found.depth > DEPTH_MAX {
        return Err(format!("the source nests {} levels deep, {DEPTH_MAX} are the most", found.depth));
    }
    let file = File::from_source(name, text).map_err(|error| shortened(&error))?;
    // Where what stands is no part of what is stored, and the larger part of a descriptor.
    let mut descriptor = file.file_descriptor_proto().clone();
    descriptor.source_code_info = None;
    names.count(&descriptor)?;
    Ok((File::from_file_descriptor_proto(descriptor), found.names_syntax))
}

fn decoded(text: &str) -> Option<FileDescriptorProto> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    let file = File::decode_file_descriptor_proto(bytes.as_slice()).ok()?;
    let mut descriptor = file.file_descriptor_proto().clone();
    // An empty text is an empty descriptor too.
    if descriptor.message_type.is_empty() && descriptor.enum_type.is_empty() {
        return None;
    }
    descriptor.source_code_info = None;
    descriptor.message_type.iter_mut().for_each(without_plain_names);
    Some(descriptor)
}

/// The source that a descriptor says.
fn written(descriptor: &FileDescriptorProto) -> Result<String, String> {
    if !matches!(descriptor.syntax(), "" | "proto2" | "proto3") {
        return Err(format!("the syntax {:?} is neither proto2 nor proto3", descriptor.syntax()));
    }
    descriptor.message_type.iter().try_for_each(check_groups)?;
    let text = print::file(descriptor, descriptor, !descriptor.syntax().is_empty(), false);
    match text.len() {
        ..=TEXT_BYTES_MAX => Ok(text),
        length => Err(format!("the text has {length} bytes, {TEXT_BYTES_MAX} are the most")),
    }
}

/// Each group is written where its field is: two fields of one group, level by level, would be without end.
fn check_groups(message: &DescriptorProto) -> Result<(), String> {
    let is_group = |field: &&FieldDescriptorProto| field.r#type == Some(Type::Group as i32);
    let mut seen = HashSet::new();
    for field in message.field.iter().filter(is_group) {
        if !seen.insert(field.type_name().rsplit('.').next()) {
            return Err(format!(
                "message {}: two fields are the group {}",
                message.name(),
                field.type_name()
            ));
        }
    }
    message.nested_type.iter().try_for_each(check_groups)
}

/// Takes out the names in JSON that follow from the fields' own, which compilers add.
fn without_plain_names(message: &mut DescriptorProto) {
    for field in message.field.iter_mut().chain(&mut message.extension) {
        if field.json_name.as_deref() == Some(&plain_name(field.name())) {
            field.json_name = None;
        }
    }
    message.nested_type.iter_mut().for_each(without_plain_names);
}

fn plain_name(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut is_raised = false;
    for letter in name.chars() {
        match letter {
            '_' => is_raised = true,
            letter if std::mem::replace(&mut is_raised, false) => plain.push(letter.to_ascii_uppercase()),
            letter => plain.push(letter),
        }
    }
    plain
}

fn shortened(error: &protox::Error) -> String {
    let mut text = error.to_string();
    if let Some((end, _)) = text.char_indices().find(|(at, _)| *at >= ERROR_BYTES_MAX) {
        text.truncate(end);
    }
    text
}
