//! SaslHandshake and SaslAuthenticate: a client proves who it is. What it has to do for that is
//! [`crate::authentication`]'s; here it becomes answers, and the session of the requests that follow.

use std::future::{Future, ready};
use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::Either;
use strandline_engine::reactor;
use strandline_protocol::messages::{decode_request, encode_response};
use strandline_protocol::wire::{ApiKey, ErrorCode};

use crate::authentication::{self, Told};
use crate::broker::Broker;
use crate::call::{Answer, Call, CallError, Client};
use crate::session::Principal;

/// The client names a mechanism.
///
/// # Errors
/// [`CallError`].
pub fn handshake(call: Call, client: &mut Client) -> Result<(Bytes, Duration), CallError> {
    let (header, broker) = (&call.header, &call.broker);
    let request = decode_request(&call.body, header.version)?;
    let response = client.authentication.handshake(header.version, &request, &client.session.principal);
    note(broker, header.key, response.error_code);
    let frame = encode_response(header.version, header.correlation_id, &response)?;
    Ok((frame, Duration::ZERO))
}

/// The client gives a token.
///
/// # Errors
/// [`CallError`].
pub fn authenticate(call: Call, client: &mut Client) -> Result<(Bytes, Duration), CallError> {
    let (header, broker) = (&call.header, &call.broker);
    let request = decode_request(&call.body, header.version)?;
    let settings = broker.engine.settings();
    let credentials = &settings.dynamic.credentials;
    let (response, after, principal) =
        authentication::authenticate(&mut client.authentication, &request, credentials);
    note(broker, header.key, response.error_code);
    believe(client, principal);
    Ok((encode_response(header.version, header.correlation_id, &response)?, after))
}

/// The client gives a token without any header, as it does after version 0 of SaslHandshake. The answer is
/// one as well. There is none that says no: the connection ends.
pub fn bare_token(
    broker: &Broker,
    client: &mut Client,
    token: &[u8],
) -> impl Future<Output = Result<Answer, CallError>> + use<> {
    let settings = broker.engine.settings();
    let (answer, after) = match client.authentication.token(token, &settings.dynamic.credentials) {
        Told::Token { token, principal, .. } => {
            believe(client, principal);
            let mut frame = BytesMut::with_capacity(size_of::<i32>() + token.len());
            frame.put_i32(token.len() as i32);
            frame.put_slice(&token);
            (Answer::Frame(frame.freeze()), Duration::ZERO)
        }
        Told::Denied { after, .. } => {
            broker.requests.failed(ApiKey::SaslAuthenticate, ErrorCode::SaslAuthenticationFailed.code());
            (Answer::Nothing, after)
        }
        Told::Unasked(_) => (Answer::Nothing, Duration::ZERO),
    };
    delayed(answer, after)
}

/// The answer, once it is time.
pub fn answered(frame: Bytes, after: Duration) -> impl Future<Output = Result<Answer, CallError>> {
    delayed(Answer::Frame(frame), after)
}

fn delayed(answer: Answer, after: Duration) -> impl Future<Output = Result<Answer, CallError>> {
    match after.is_zero() {
        true => Either::Left(ready(Ok(answer))),
        false => Either::Right(async move {
            reactor::sleep(after).await;
            Ok(answer)
        }),
    }
}

/// Requests from now on are this principal's.
fn believe(client: &mut Client, principal: Option<Principal>) {
    if let Some(principal) = principal {
        Rc::make_mut(&mut client.session).principal = principal;
        client.asker = Rc::default();
    }
}

fn note(broker: &Broker, key: ApiKey, code: i16) {
    if code != ErrorCode::None.code() {
        broker.requests.failed(key, code);
    }
}
