//! From a text to a file that is checked.

use base64::Engine;
use prost_types::{DescriptorProto, FileDescriptorProto};
use protox::file::{File, FileResolver, GoogleFileResolver};

use super::Protobuf;
use super::scan::scan;
use crate::limits::Referred;

/// What the file itself is called, unless it is a reference.
const NAME: &str = "default";
/// How deep brackets nest.
const DEPTH_MAX: usize = 64;
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
        let (main, names_syntax) = read(NAME, text)?;
        let source = main.file_descriptor_proto().clone();
        let mut compiler = protox::Compiler::with_file_resolver(Files { main, referred: referred.to_vec() });
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
}

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == NAME {
            return Ok(self.main.clone());
        }
        if let Some(referred) = self.referred.iter().find(|referred| referred.name == name) {
            return read(name, &referred.text).map(|(file, _)| file).map_err(protox::Error::new);
        }
        if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            return File::from_source(name, text);
        }
        GoogleFileResolver::new().open_file(name)
    }
}

/// The source, or the descriptor in base64.
fn read(name: &str, text: &str) -> Result<(File, bool), String> {
    if let Some(descriptor) = decoded(name, text) {
        let names_syntax = !descriptor.syntax().is_empty();
        return Ok((File::from_file_descriptor_proto(descriptor), names_syntax));
    }
    let found = scan(text);
    if found.depth > DEPTH_MAX {
        return Err(format!("the source nests {} levels deep, {DEPTH_MAX} are the most", found.depth));
    }
    let file = File::from_source(name, text).map_err(|error| shortened(&error))?;
    // Where what stands is no part of what is stored, and the larger part of a descriptor.
    let mut descriptor = file.file_descriptor_proto().clone();
    descriptor.source_code_info = None;
    Ok((File::from_file_descriptor_proto(descriptor), found.names_syntax))
}

fn decoded(name: &str, text: &str) -> Option<FileDescriptorProto> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    let file = File::decode_file_descriptor_proto(bytes.as_slice()).ok()?;
    let mut descriptor = file.file_descriptor_proto().clone();
    // An empty text is an empty descriptor too.
    if descriptor.message_type.is_empty() && descriptor.enum_type.is_empty() {
        return None;
    }
    descriptor.name = Some(name.to_owned());
    descriptor.source_code_info = None;
    descriptor.message_type.iter_mut().for_each(without_plain_names);
    Some(descriptor)
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
