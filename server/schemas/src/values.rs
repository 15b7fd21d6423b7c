//! Values of a schema: from JSON to the bytes that serializers write, and back.
//!
//! ```text
//! 0 | id of the schema, 4 bytes, big endian | Avro: binary encoding
//!                                           | JSON Schema: the JSON
//!                                           | Protobuf: which message of the file | the message
//! ```
//! Which message that is says a list of numbers, each the place of a message among those of the file or of
//! the message around it, as varints of zigzag; the first one of the file is one byte 0.

use crate::avro::Avro;
use crate::definition::SchemaType;
pub use crate::encoding::Misfit;
use crate::json::Json;
use crate::json_schema::JsonSchema;
use crate::limits::Budget;
use crate::parsed::Parsed;
use crate::protobuf::Messages;

/// What every such value begins with.
const MAGIC: u8 = 0;

/// Bytes before what is encoded.
const HEAD_BYTES: usize = 5;

/// Longest JSON of one value that is encoded: twice what a record has by default, in a longer encoding.
pub const JSON_BYTES_MAX: usize = 2 << 20;

/// The values of one schema.
#[derive(Debug)]
pub struct Values {
    kind: Kind,
    weight: usize,
}

#[derive(Debug)]
enum Kind {
    Avro(Avro),
    Json(JsonSchema),
    Protobuf(Messages),
}

impl Values {
    /// The values of a schema that takes about so many bytes.
    ///
    /// # Errors
    /// Where the schema describes none: a file of Protobuf without a message.
    pub(crate) fn new(parsed: Parsed, weight: usize) -> Result<Values, String> {
        let kind = match parsed {
            Parsed::Avro(avro) => Kind::Avro(avro),
            Parsed::Json(json) => Kind::Json(json),
            Parsed::Protobuf(protobuf) => Kind::Protobuf(Messages::new(*protobuf)?),
        };
        Ok(Values { kind, weight })
    }

    /// The type of the schema.
    pub fn schema_type(&self) -> SchemaType {
        match self.kind {
            Kind::Avro(_) => SchemaType::Avro,
            Kind::Json(_) => SchemaType::Json,
            Kind::Protobuf(_) => SchemaType::Protobuf,
        }
    }

    /// About how much memory it takes.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The value of a text of JSON, as serializers write it with the id of the schema; the budget is that of
    /// all values of a request.
    ///
    /// # Errors
    /// [`Misfit`].
    pub fn encode(&self, id: i32, json: &[u8], budget: &mut Budget) -> Result<Vec<u8>, Misfit> {
        if json.len() > JSON_BYTES_MAX {
            return Err(Misfit::new(format!("it has {} bytes, {JSON_BYTES_MAX} are the most", json.len())));
        }
        let mut out = vec![MAGIC];
        out.extend_from_slice(&id.to_be_bytes());
        let read = || Json::parse(json).map_err(|error| Misfit::new(format!("it is no JSON: {error}")));
        match &self.kind {
            Kind::Avro(avro) => avro.encode(&read()?, &mut out, budget)?,
            Kind::Json(schema) => {
                schema.check(&read()?, budget)?;
                out.extend_from_slice(json);
            }
            Kind::Protobuf(messages) => messages.encode(json, &mut out)?,
        }
        Ok(out)
    }

    /// Appends the JSON of what follows the id, of no more than so many bytes.
    ///
    /// # Errors
    /// Where the bytes are no value of the schema.
    pub fn decode(&self, bytes: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), String> {
        match &self.kind {
            Kind::Avro(avro) => avro.decode(bytes, out, bytes_max),
            Kind::Json(_) => {
                let text = std::str::from_utf8(bytes).map_err(|_| "the value is not UTF-8".to_owned())?;
                let json: Result<&serde_json::value::RawValue, _> = serde_json::from_str(text);
                let json = json.map_err(|error| format!("the value is no JSON: {error}"))?;
                out.extend_from_slice(json.get().as_bytes());
                Ok(())
            }
            Kind::Protobuf(messages) => messages.decode(bytes, out, bytes_max),
        }
    }
}

/// The id of the schema of a value, and what follows it; `None` for what no serializer has written.
pub fn taken_apart(value: &[u8]) -> Option<(i32, &[u8])> {
    let (head, rest) = value.split_at_checked(HEAD_BYTES)?;
    let id = i32::from_be_bytes(head[1..].try_into().ok()?);
    (head[0] == MAGIC && id >= 0).then_some((id, rest))
}
