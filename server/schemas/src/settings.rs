//! What is set for a subject, for a context or for all: the compatibility level and its companions, and the
//! mode.

use crate::definition::{Metadata, RuleSet};
use crate::error::Error;
use crate::json::{Json, Members};

/// Which schemas a new one has to get along with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// None of them.
    None,
    /// It can read what was written with the latest.
    Backward,
    /// It can read what was written with any.
    BackwardTransitive,
    /// The latest can read what is written with it.
    Forward,
    /// All can read what is written with it.
    ForwardTransitive,
    /// Both, the latest.
    Full,
    /// Both, all of them.
    FullTransitive,
}

impl Level {
    /// The level where nothing is set.
    pub const DEFAULT: Level = Level::Backward;

    const ALL: [Level; 7] = [
        Level::None,
        Level::Backward,
        Level::BackwardTransitive,
        Level::Forward,
        Level::ForwardTransitive,
        Level::Full,
        Level::FullTransitive,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Level::None => "NONE",
            Level::Backward => "BACKWARD",
            Level::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Level::Forward => "FORWARD",
            Level::ForwardTransitive => "FORWARD_TRANSITIVE",
            Level::Full => "FULL",
            Level::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// The level of that name, in letters of any size.
    pub fn of(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(name))
    }

    /// Whether the new schema must read what was written with older ones.
    pub(crate) fn reads_older(self) -> bool {
        !matches!(self, Level::None | Level::Forward | Level::ForwardTransitive)
    }

    /// Whether older schemas must read what is written with the new one.
    pub(crate) fn is_read_by_older(self) -> bool {
        !matches!(self, Level::None | Level::Backward | Level::BackwardTransitive)
    }

    /// Whether all older schemas count, or the latest alone.
    pub(crate) fn is_transitive(self) -> bool {
        matches!(self, Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive)
    }
}

/// What may be done with a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Anything but to choose ids.
    ReadWrite,
    /// Nothing that writes.
    ReadOnly,
    /// Nothing that writes, whatever the subjects say.
    ReadOnlyOverride,
    /// Schemas come with the ids and versions of another registry.
    Import,
    /// The same, of a registry that forwards.
    Forward,
}

impl Mode {
    const ALL: [Mode; 5] =
        [Mode::ReadWrite, Mode::ReadOnly, Mode::ReadOnlyOverride, Mode::Import, Mode::Forward];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Mode::ReadWrite => "READWRITE",
            Mode::ReadOnly => "READONLY",
            Mode::ReadOnlyOverride => "READONLY_OVERRIDE",
            Mode::Import => "IMPORT",
            Mode::Forward => "FORWARD",
        }
    }

    /// The mode of that name, in letters of any size.
    pub fn of(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn is_read_only(self) -> bool {
        matches!(self, Mode::ReadOnly | Mode::ReadOnlyOverride)
    }

    pub(crate) fn takes_ids(self) -> bool {
        matches!(self, Mode::Import | Mode::Forward)
    }
}

/// What is set beside the mode. `None` is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the registry's API")]
pub struct Config {
    /// The subject that is meant when this one is named.
    pub alias: Option<String>,
    pub alias_for_deks: Option<String>,
    pub normalize: Option<bool>,
    pub validate_fields: Option<bool>,
    pub validate_new_schemas: Option<bool>,
    pub validate_rules: Option<bool>,
    pub level: Option<Level>,
    pub policy: Option<String>,
    /// The property whose value parts the versions of a subject into groups that get along among themselves.
    pub group: Option<String>,
    pub default_metadata: Option<Metadata>,
    pub override_metadata: Option<Metadata>,
    pub default_rule_set: Option<RuleSet>,
    pub override_rule_set: Option<RuleSet>,
}

impl Config {
    /// Its members, in the order of the records; requests call the level `compatibility`.
    pub(crate) fn members(&self, name_of_level: &str) -> Members {
        let mut members = Members::new();
        let mut push = |name: &str, value: Option<Json>| {
            if let Some(value) = value {
                Json::push(&mut members, name, value);
            }
        };
        let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Json::from);
        push("alias", text(&self.alias));
        push("aliasForDeks", text(&self.alias_for_deks));
        push("normalize", self.normalize.map(Json::Bool));
        push("validateFields", self.validate_fields.map(Json::Bool));
        push("validateNewSchemas", self.validate_new_schemas.map(Json::Bool));
        push("validateRules", self.validate_rules.map(Json::Bool));
        push(name_of_level, self.level.map(|level| level.name().into()));
        push("compatibilityPolicy", text(&self.policy));
        push("compatibilityGroup", text(&self.group));
        push("defaultMetadata", self.default_metadata.as_ref().map(Metadata::to_json));
        push("overrideMetadata", self.override_metadata.as_ref().map(Metadata::to_json));
        push("defaultRuleSet", self.default_rule_set.as_ref().map(RuleSet::to_json));
        push("overrideRuleSet", self.override_rule_set.as_ref().map(RuleSet::to_json));
        members
    }

    /// Reads what [`Config::members`] writes.
    pub(crate) fn from_json(json: &Json, name_of_level: &str) -> Result<Config, Error> {
        let mut config = Config::default();
        config.update(json, name_of_level)?;
        Ok(config)
    }

    /// Takes in what a request says; a member that is `null` unsets, one that is absent leaves as it is.
    pub(crate) fn update(&mut self, json: &Json, name_of_level: &str) -> Result<(), Error> {
        for (name, value) in json.members() {
            let is_null = *value == Json::Null;
            let wrong = |expected: &str| Error::Body(format!("{name}: {expected} is expected"));
            let text = || match value {
                Json::Null => Ok(None),
                Json::String(text) => Ok(Some(text.clone())),
                _ => Err(wrong("a string")),
            };
            let flag = || match value {
                Json::Null => Ok(None),
                Json::Bool(value) => Ok(Some(*value)),
                _ => Err(wrong("true or false")),
            };
            match name.as_str() {
                "alias" => self.alias = text()?,
                "aliasForDeks" => self.alias_for_deks = text()?,
                "normalize" => self.normalize = flag()?,
                "validateFields" => self.validate_fields = flag()?,
                "validateNewSchemas" => self.validate_new_schemas = flag()?,
                "validateRules" => self.validate_rules = flag()?,
                "compatibilityPolicy" => self.policy = text()?,
                "compatibilityGroup" => self.group = text()?,
                "defaultMetadata" => self.default_metadata = Metadata::from_json(Some(value))?,
                "overrideMetadata" => self.override_metadata = Metadata::from_json(Some(value))?,
                "defaultRuleSet" => self.default_rule_set = RuleSet::from_json(Some(value))?,
                "overrideRuleSet" => self.override_rule_set = RuleSet::from_json(Some(value))?,
                _ if name == name_of_level => {
                    let level = value.as_str().and_then(Level::of);
                    if level.is_none() && !is_null {
                        return Err(Error::InvalidLevel);
                    }
                    self.level = level;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What holds for a subject with this where `under` is set for all.
    pub(crate) fn over(mut self, under: &Config) -> Config {
        self.normalize = self.normalize.or(under.normalize);
        self.validate_fields = self.validate_fields.or(under.validate_fields);
        self.validate_new_schemas = self.validate_new_schemas.or(under.validate_new_schemas);
        self.validate_rules = self.validate_rules.or(under.validate_rules);
        self.policy = self.policy.or_else(|| under.policy.clone());
        self.group = self.group.or_else(|| under.group.clone());
        self
    }
}
