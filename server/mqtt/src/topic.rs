//! Topic names and filters: which there are, and which name matches which filter (MQTT 5.0, section 4.7).
//!
//! ```text
//!  name    truck/7/position      levels between slashes; no level is like another, empty ones count
//!  filter  truck/+/position      `+` is one level, `#` the last and any number of them
//!          $share/fleet/truck/#  members of `fleet` share what matches `truck/#`
//! ```
//! A filter that begins with a wildcard does not match names that begin with `$`.

/// The bytes of a name or filter: what its length on the wire can say.
pub const BYTES_MAX: usize = 65_535;

/// Levels of a name or filter: the depth of everything that is made of them. Topics in use have some ten.
pub const LEVELS_MAX: usize = 128;

/// Whether something can be published to it.
pub fn is_name(topic: &str) -> bool {
    is_sized(topic) && !topic.contains(['+', '#', '\0'])
}

fn is_sized(topic: &str) -> bool {
    (1..=BYTES_MAX).contains(&topic.len()) && topic.bytes().filter(|byte| *byte == b'/').count() < LEVELS_MAX
}

/// Why a text is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is empty, or too long, or has too many levels.
    #[error("a filter has 1 to {BYTES_MAX} bytes, and at most {LEVELS_MAX} levels")]
    Size,
    /// A wildcard is not alone on its level, or `#` is not on the last.
    #[error("a wildcard stands alone on its level, and # on the last")]
    Wildcard,
    /// `$share` without a name, or with one that has a wildcard; or nothing follows.
    #[error("a shared subscription is $share/NAME/FILTER")]
    Share,
}

/// A filter, and the group that shares what it matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    text: String,
    /// Where the filter begins behind `$share/name/`; 0 when it is not shared.
    start: usize,
}

impl Filter {
    /// Reads a filter as a client writes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        if !is_sized(text) || text.contains('\0') {
            return Err(FilterError::Size);
        }
        let mut start = 0;
        if let Some(rest) = text.strip_prefix("$share/") {
            let (group, filter) = rest.split_once('/').ok_or(FilterError::Share)?;
            if group.is_empty() || filter.is_empty() || group.contains(['+', '#']) {
                return Err(FilterError::Share);
            }
            start = text.len() - filter.len();
        } else if text == "$share" {
            return Err(FilterError::Share);
        }
        let mut levels = text[start..].split('/').peekable();
        while let Some(level) = levels.next() {
            let is_last = levels.peek().is_none();
            if level.contains(['+', '#']) && !(level == "+" || (level == "#" && is_last)) {
                return Err(FilterError::Wildcard);
            }
        }
        Ok(Filter { text: text.to_owned(), start })
    }

    /// As the client has written it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What topics are held against.
    pub fn pattern(&self) -> &str {
        &self.text[self.start..]
    }

    /// The group that shares it.
    pub fn group(&self) -> Option<&str> {
        (self.start > 0).then(|| &self.text["$share/".len()..self.start - 1])
    }

    /// Whether it has wildcards.
    pub fn is_wild(&self) -> bool {
        self.pattern().contains(['+', '#'])
    }

    /// Whether a topic matches.
    pub fn matches(&self, topic: &str) -> bool {
        matches(self.pattern(), topic)
    }
}

/// Whether a topic matches a filter that is valid.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            // It stands for the level above it, too.
            (Some("#"), _) => return true,
            (Some("+"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_specification_says() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "sport", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/clients", false),
            ("+/clients", "$SYS/clients", false),
            ("$SYS/#", "$SYS/clients", true),
            ("$SYS/+", "$SYS/clients", true),
            ("a/b", "a/b", true),
            ("a/b", "A/b", false),
            ("a", "a/b", false),
            ("a/b", "a", false),
            ("a//b", "a//b", true),
            ("a/+/b", "a//b", true),
        ] {
            let parsed = Filter::parse(filter).unwrap();
            assert_eq!(parsed.matches(topic), expected, "{filter} and {topic}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for (text, error) in [
            ("", FilterError::Size),
            ("sport/tennis#", FilterError::Wildcard),
            ("sport/#/ranking", FilterError::Wildcard),
            ("sport+", FilterError::Wildcard),
            ("+a/b", FilterError::Wildcard),
            ("$share", FilterError::Share),
            ("$share/", FilterError::Share),
            ("$share/g", FilterError::Share),
            ("$share/g/", FilterError::Share),
            ("$share//a", FilterError::Share),
            ("$share/+/a", FilterError::Share),
            ("$share/g/a#", FilterError::Wildcard),
        ] {
            assert_eq!(Filter::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Filter::parse(&"/".repeat(LEVELS_MAX)), Err(FilterError::Size));
        assert!(Filter::parse(&"/".repeat(LEVELS_MAX - 1)).is_ok());
        assert_eq!(Filter::parse(&"a".repeat(BYTES_MAX + 1)), Err(FilterError::Size));
    }

    #[test]
    fn a_shared_filter_is_its_group_and_its_pattern() {
        let filter = Filter::parse("$share/fleet/truck/+/position").unwrap();
        assert_eq!((filter.group(), filter.pattern()), (Some("fleet"), "truck/+/position"));
        assert!(filter.matches("truck/7/position"));
        let filter = Filter::parse("$shared/fleet").unwrap();
        assert_eq!((filter.group(), filter.pattern()), (None, "$shared/fleet"));
    }

    #[test]
    fn names_have_no_wildcards() {
        assert!(is_name("a/b") && is_name("/") && is_name("$SYS/x") && is_name(" "));
        assert!(!is_name("") && !is_name("a/+") && !is_name("#") && !is_name("a\0"));
    }
}
