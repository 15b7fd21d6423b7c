//! The one message of a client with a token (RFC 7628, 3.1).
//!
//! ```text
//! n,[a=USER],  ^A  auth=Bearer TOKEN ^A  [KEY=VALUE ^A ...]  ^A          ^A is the byte 1
//! ```

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    /// Who it wants to be, where it says so.
    pub(super) authorization: Option<String>,
    /// Its token.
    pub(super) token: &'a str,
}

const SEPARATOR: char = '\u{1}';

/// Reads the message; `None` for anything else. Extensions (KIP-342) are passed over.
pub(super) fn read(message: &[u8]) -> Option<Asked<'_>> {
    let (header, rest) = std::str::from_utf8(message).ok()?.split_once(SEPARATOR)?;
    let authorization = match header.strip_prefix("n,")?.strip_suffix(',')? {
        "" => None,
        named => Some(plain_name(named.strip_prefix("a=")?)?),
    };
    let mut token = None;
    for pair in rest.strip_suffix(SEPARATOR)?.split_terminator(SEPARATOR) {
        let (key, value) = pair.split_once('=')?;
        if key == "auth" {
            let (scheme, value) = value.split_once(' ')?;
            let is_first = token.replace(value.trim_matches(' ')).is_none();
            if !scheme.eq_ignore_ascii_case("bearer") || !is_first {
                return None;
            }
        }
    }
    token.filter(|token| !token.is_empty()).map(|token| Asked { authorization, token })
}

/// A name in which a comma and an equals sign are written as `=2C` and `=3D`.
fn plain_name(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        name.push(match after.get(..2)? {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        rest = &after[2..];
    }
    name.push_str(rest);
    (!name.is_empty() && !text.contains(',')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_in_the_forms_in_which_clients_say_it_and_in_no_other() {
        let asked = |authorization: Option<&str>, token| {
            Some(Asked { authorization: authorization.map(str::to_owned), token })
        };
        let read = |message: &'static str| read(message.as_bytes());
        assert_eq!(read("n,,\u{1}auth=Bearer a.b.c\u{1}\u{1}"), asked(None, "a.b.c"));
        assert_eq!(read("n,a=u=2Cv=3D,\u{1}auth=bearer  a.b.c\u{1}\u{1}"), asked(Some("u,v="), "a.b.c"));
        assert_eq!(read("n,,\u{1}host=x\u{1}auth=Bearer t\u{1}key==\u{1}\u{1}"), asked(None, "t"));
        for other in [
            "",
            "\u{1}",
            "n,,",
            "n,,\u{1}\u{1}",
            "n,,\u{1}auth=Bearer t",
            "n,,\u{1}auth=Bearer \u{1}\u{1}",
            "n,,\u{1}auth=Basic t\u{1}\u{1}",
            "n,,\u{1}auth=Bearer t\u{1}auth=Bearer u\u{1}\u{1}",
            "n,,\u{1}auth\u{1}\u{1}",
            "y,,\u{1}auth=Bearer t\u{1}\u{1}",
            "p=tls-unique,,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,u,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,a=,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,a=u=2,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,a=u=é,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,a=u,v,\u{1}auth=Bearer t\u{1}\u{1}",
        ] {
            assert_eq!(read(other), None, "{other:?}");
        }
    }
}
