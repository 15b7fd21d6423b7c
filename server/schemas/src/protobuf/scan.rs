//! A look at a source before it is parsed: how deep it nests, and whether it names its syntax.

/// What a look has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// The deepest nesting of brackets, of whatever kind.
    pub(super) depth: usize,
    /// Whether the first word is `syntax`.
    pub(super) names_syntax: bool,
}

/// Looks through a source; comments and strings count for nothing.
pub(super) fn scan(source: &str) -> Scan {
    let mut scan = Scan { depth: 0, names_syntax: false };
    let mut depth = 0_usize;
    let mut rest = source.as_bytes();
    let mut is_first = true;
    while let [byte, after @ ..] = rest {
        rest = match (byte, after) {
            (b'/', [b'/', ..]) => after_line(after),
            (b'/', [b'*', inner @ ..]) => after_comment(inner),
            (b'"' | b'\'', _) => after_string(*byte, after),
            (b'{' | b'[' | b'(' | b'<', _) => {
                depth += 1;
                scan.depth = scan.depth.max(depth);
                after
            }
            (b'}' | b']' | b')' | b'>', _) => {
                depth = depth.saturating_sub(1);
                after
            }
            (byte, _) if byte.is_ascii_whitespace() => after,
            _ => {
                if std::mem::replace(&mut is_first, false) {
                    scan.names_syntax = rest.starts_with(b"syntax");
                }
                after
            }
        };
    }
    scan
}

fn after_line(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|byte| *byte == b'\n').map_or(&[], |end| &bytes[end..])
}

fn after_comment(bytes: &[u8]) -> &[u8] {
    bytes.windows(2).position(|pair| pair == b"*/").map_or(&[], |end| &bytes[end + 2..])
}

fn after_string(quote: u8, mut bytes: &[u8]) -> &[u8] {
    while let [byte, after @ ..] = bytes {
        match byte {
            b'\\' => bytes = after.get(1..).unwrap_or_default(),
            b'\n' => return bytes,
            byte if *byte == quote => return after,
            _ => bytes = after,
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_comments_and_strings_do_not_count() {
        let source = "// {{{\n/* }}}} */ syntax = \"proto3\"; message A { string a = 1 [x = \"}}\\\"}\"]; }";
        assert_eq!(scan(source), Scan { depth: 2, names_syntax: true });
        assert_eq!(scan("message A { /* } */ message B { } // }\n }").depth, 2);
        assert_eq!(scan(&"message A {".repeat(500)).depth, 500);
        assert!(!scan("message A {}").names_syntax);
    }
}
