//! What holds for a subject, from the narrowest setting to the widest.

use super::*;
use crate::settings::Config;

fn with(records: &[(&str, &str)]) -> State {
    let mut state = State::default();
    for (key, value) in records {
        state.apply(&Record::parse(key.as_bytes(), Some(value.as_bytes())).unwrap(), 0);
    }
    state
}

#[test]
fn the_narrowest_setting_holds() {
    let config = |subject: &str, level: &str| {
        (
            format!(r#"{{"keytype":"CONFIG","subject":"{subject}","magic":0}}"#),
            format!(r#"{{"subject":"{subject}","compatibilityLevel":"{level}"}}"#),
        )
    };
    let all = [config(":.__GLOBAL:", "FULL"), config(":.eu:", "FORWARD"), config(":.eu:s", "NONE")];
    let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    for (count, subject, expected) in [
        (0, ":.eu:s", Level::Backward),
        (1, ":.eu:s", Level::Full),
        (1, "s", Level::Full),
        (2, ":.eu:s", Level::Forward),
        (2, "s", Level::Full),
        (3, ":.eu:s", Level::None),
        (3, ":.eu:t", Level::Forward),
    ] {
        let state = with(&all[..count]);
        let found = state.config_in_scope(Some(&Subject::parse(subject))).level;
        assert_eq!(found, Some(expected), "{count} {subject}");
    }
    let state = with(&[(r#"{"keytype":"CONFIG","magic":0}"#, r#"{"normalize":true}"#)]);
    let own = Config { normalize: Some(true), level: Some(Level::Backward), ..Config::default() };
    assert_eq!(state.config_in_scope(Some(&Subject::parse("s"))), own);
}

#[test]
fn read_only_for_all_can_be_made_to_hold_whatever_subjects_say() {
    let own = (r#"{"keytype":"MODE","subject":"s","magic":0}"#, r#"{"subject":"s","mode":"READWRITE"}"#);
    let subject = Subject::parse("s");
    let state = with(&[(r#"{"keytype":"MODE","magic":0}"#, r#"{"mode":"READONLY"}"#), own]);
    assert_eq!(state.mode_in_scope(Some(&subject)), Mode::ReadWrite);
    let state = with(&[(r#"{"keytype":"MODE","magic":0}"#, r#"{"mode":"READONLY_OVERRIDE"}"#), own]);
    assert_eq!(state.mode_in_scope(Some(&subject)), Mode::ReadOnlyOverride);
}
