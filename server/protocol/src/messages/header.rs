//! What stands before a body, and the way of a whole frame: size, header, body.

use crate::messages::Request;
use crate::wire::{ApiKey, Decode, Encode, EncodeError, Message, Reader, WireError, Writer};
use bytes::Bytes;

/// The bytes of a frame's size.
const SIZE_BYTES: usize = size_of::<i32>();

/// The largest frame that its size field can announce.
const FRAME_BYTES_MAX: usize = i32::MAX as usize;

/// What stands before the body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API.
    pub key: ApiKey,
    /// The version of the body. Not checked yet: any number.
    pub version: i16,
    /// The number that the response begins with.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads the header of a request, given without its size, and says at which byte of `frame` the body
    /// starts.
    ///
    /// The client id is in the classic form in every version, so that a broker can read it whatever it thinks
    /// of the version.
    ///
    /// # Errors
    /// [`WireError::UnknownKey`], and whatever is wrong with the bytes. There is no response that a client
    /// could read then: close the connection.
    pub fn decode(frame: &[u8]) -> Result<(RequestHeader, usize), WireError> {
        let mut reader = Reader::request(frame, 0, false);
        let code = i16::read(&mut reader)?;
        let key = ApiKey::of(code).ok_or(WireError::UnknownKey { key: code })?;
        let version = i16::read(&mut reader)?;
        let correlation_id = i32::read(&mut reader)?;
        let client_id = Option::read(&mut reader)?;
        reader.set_flexible(key.request_header_version(version) == 2);
        reader.tagged_fields(|_, _| Ok(false))?;
        Ok((RequestHeader { key, version, correlation_id, client_id }, reader.position()))
    }
}

/// Reads the body of a request: the frame after its header. Bytes behind it are ignored, as Kafka does:
/// librdkafka 2.16 sends three too many when it asks for the metadata of all topics.
///
/// # Errors
/// [`WireError::UnknownVersion`], and whatever is wrong with the bytes.
pub fn decode_request<M: Message + Decode>(body: &[u8], version: i16) -> Result<M, WireError> {
    M::read(&mut Reader::request(body, version, M::readable(version)?))
}

/// Reads a response, given without its size: the correlation id and the body.
///
/// # Errors
/// [`WireError::UnknownVersion`], and whatever is wrong with the bytes.
pub fn decode_response<M: Message + Decode>(frame: &[u8], version: i16) -> Result<(i32, M), WireError> {
    let (correlation_id, mut reader) = response_reader::<M>(frame, version)?;
    let message = M::read(&mut reader)?;
    reader.finish()?;
    Ok((correlation_id, message))
}

/// The frame of a request.
///
/// # Errors
/// When this version can not carry the request.
pub fn encode_request<M: Request + Encode>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &M,
) -> Result<Bytes, EncodeError> {
    let flexible = M::writable(version)?;
    let mut writer = Writer::new(version, false);
    writer.put(&[0; SIZE_BYTES]);
    M::KEY.code().write(&mut writer);
    version.write(&mut writer);
    correlation_id.write(&mut writer);
    writer.str(client_id);
    writer.set_flexible(flexible);
    writer.tagged_fields(|_| ());
    request.write(&mut writer);
    finish_frame(writer, 0)
}

/// The frame of a response.
///
/// # Errors
/// When this version can not carry the response.
pub fn encode_response<M: Message + Encode>(
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<Bytes, EncodeError> {
    let mut writer = response_writer::<M>(version, correlation_id)?;
    response.write(&mut writer);
    finish_frame(writer, 0)
}

/// A reader that stands behind a response's header.
pub(super) fn response_reader<M: Message>(
    frame: &[u8],
    version: i16,
) -> Result<(i32, Reader<'_>), WireError> {
    let flexible = M::readable(version)?;
    let mut reader = Reader::response(frame, version, M::KEY.response_header_version(version) == 1);
    let correlation_id = i32::read(&mut reader)?;
    reader.tagged_fields(|_, _| Ok(false))?;
    reader.set_flexible(flexible);
    Ok((correlation_id, reader))
}

/// A writer that stands behind a response's header.
pub(super) fn response_writer<M: Message>(version: i16, correlation_id: i32) -> Result<Writer, EncodeError> {
    M::writable(version)?;
    Ok(response_head(M::KEY, version, correlation_id))
}

/// A writer that stands behind the header of a response to `key`, for a size that [`set_size`] sets.
pub fn response_head(key: ApiKey, version: i16, correlation_id: i32) -> Writer {
    let mut writer = Writer::new(version, key.response_header_version(version) == 1);
    writer.cut_strings();
    writer.put(&[0; SIZE_BYTES]);
    correlation_id.write(&mut writer);
    writer.tagged_fields(|_| ());
    writer.set_flexible(version >= key.flexible_from());
    writer
}

/// Sets the size of a frame of so many bytes, with its size, of which the writer has the first.
///
/// # Errors
/// [`EncodeError::TooLong`] past 2 GiB.
pub fn set_size(writer: &mut Writer, frame_bytes: usize) -> Result<(), EncodeError> {
    let length = frame_bytes - SIZE_BYTES;
    let size = i32::try_from(length).map_err(|_| EncodeError::TooLong { length, limit: FRAME_BYTES_MAX })?;
    writer.patch(0, &size.to_be_bytes());
    Ok(())
}

/// Sets the size of the frame, of which `records_bytes` are not in the writer.
pub fn finish_frame(mut writer: Writer, records_bytes: usize) -> Result<Bytes, EncodeError> {
    let bytes = writer.position() + records_bytes;
    set_size(&mut writer, bytes)?;
    Ok(writer.finish()?.freeze())
}
