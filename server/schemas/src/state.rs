//! What the registry knows: the records of its topic, one after the other, taken in.
//!
//! The state is a function of the records, so that a start that replays them gives what was there before, and
//! so does a replay of what compaction has left of them. A record that contradicts an older one is left aside
//! and counted, as in Confluent's registry: an id keeps the text that it came with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::definition::{Definition, Guid};
use crate::records::{Key, Record, Version};
use crate::settings::{Config, Level, Mode};
use crate::subject::{DEFAULT_CONTEXT, GLOBAL_CONTEXT, Subject, prefix_of};

/// What a version of a subject costs in the indexes, about.
const ENTRY_BYTES: usize = 512;

/// A version of a subject: its qualified name, and the number.
pub type Place = (String, i32);

/// What a version of a subject is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The id of its schema, in the context of the subject.
    pub id: i32,
    /// What the schema is told apart by.
    pub guid: Guid,
    /// The schema.
    pub definition: Arc<Definition>,
    /// Whether it is deleted, and can come back.
    pub is_deleted: bool,
    /// When it was written, in milliseconds since 1970.
    pub timestamp: i64,
}

/// Which versions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Those that are not deleted.
    Live,
    /// All of them.
    All,
    /// Those that are deleted.
    Deleted,
}

impl Filter {
    pub(crate) fn takes(self, is_deleted: bool) -> bool {
        match self {
            Filter::Live => !is_deleted,
            Filter::All => true,
            Filter::Deleted => is_deleted,
        }
    }
}

/// The schemas of one context; ids are its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Context {
    subjects: BTreeMap<String, BTreeMap<i32, Entry>>,
    ids: BTreeMap<i32, BTreeSet<Place>>,
    guids: HashMap<Guid, BTreeMap<i32, BTreeSet<Place>>>,
    /// The highest id that was ever given.
    id_max: i32,
}

/// What the registry knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    contexts: BTreeMap<String, Context>,
    /// Contexts other than the default one that were made.
    named: BTreeSet<String>,
    configs: BTreeMap<Option<String>, Config>,
    modes: BTreeMap<Option<String>, Mode>,
    /// Who refers to a version; -1 is the latest.
    referrers: BTreeMap<Place, BTreeSet<Place>>,
    bytes: usize,
    contradicting: u64,
}

impl State {
    /// Takes in the next record of the topic, of that time.
    pub fn apply(&mut self, record: &Record, timestamp: i64) {
        match record {
            Record::Schema(version) => self.put(version, timestamp),
            Record::Config(subject, config) => {
                self.configs.insert(subject.clone(), (**config).clone());
            }
            Record::Mode(subject, mode) => {
                self.modes.insert(subject.clone(), *mode);
            }
            Record::Noop(ids) => {
                for (context, id) in ids {
                    let context = self.contexts.entry(context.clone()).or_default();
                    context.id_max = context.id_max.max(*id);
                }
            }
            Record::DeleteSubject(subject, version_max) => self.soft_delete(subject, *version_max),
            Record::Context(context) => {
                self.named.insert(context.clone());
            }
            Record::Gone(Key::Schema { subject, version }) => self.remove(&(subject.clone(), *version)),
            Record::Gone(Key::Config(subject)) => {
                self.configs.remove(subject);
            }
            Record::Gone(Key::Mode(subject)) => {
                self.modes.remove(subject);
            }
            Record::Gone(Key::Context(context)) => {
                self.named.remove(context);
            }
            Record::ClearSubject(_) | Record::Gone(_) => {}
        }
    }

    fn put(&mut self, version: &Version, timestamp: i64) {
        let place = (version.subject.clone(), version.version);
        let context = Subject::parse(&version.subject).context;
        let known = self.first_of_id(&context, version.id).map(|(_, entry)| entry.definition.clone());
        if known.as_ref().is_some_and(|known| known.text != version.definition.text) {
            self.contradicting += 1;
            return;
        }
        self.remove(&place);
        let guid = version.definition.guid();
        let definition = match known {
            Some(known) if *known == version.definition => known,
            _ => Arc::new(version.definition.clone()),
        };
        for reference in &definition.references {
            let to = Subject::parse(&version.subject).sibling(&reference.subject).to_string();
            self.referrers.entry((to, reference.version)).or_default().insert(place.clone());
        }
        self.bytes += weight(&definition);
        let context = self.contexts.entry(context).or_default();
        context.id_max = context.id_max.max(version.id);
        context.ids.entry(version.id).or_default().insert(place.clone());
        context.guids.entry(guid).or_default().entry(version.id).or_default().insert(place.clone());
        let entry = Entry { id: version.id, guid, definition, is_deleted: version.is_deleted, timestamp };
        context.subjects.entry(place.0).or_default().insert(place.1, entry);
    }

    fn remove(&mut self, place: &Place) {
        let name = Subject::parse(&place.0);
        let Some(context) = self.contexts.get_mut(&name.context) else { return };
        let Some(versions) = context.subjects.get_mut(&place.0) else { return };
        let Some(entry) = versions.remove(&place.1) else { return };
        if versions.is_empty() {
            context.subjects.remove(&place.0);
        }
        let take_out = |places: &mut BTreeSet<Place>| {
            places.remove(place);
            places.is_empty()
        };
        if context.ids.get_mut(&entry.id).is_some_and(take_out) {
            context.ids.remove(&entry.id);
        }
        if let Some(ids) = context.guids.get_mut(&entry.guid) {
            if ids.get_mut(&entry.id).is_some_and(take_out) {
                ids.remove(&entry.id);
            }
            if ids.is_empty() {
                context.guids.remove(&entry.guid);
            }
        }
        for reference in &entry.definition.references {
            let to = (name.sibling(&reference.subject).to_string(), reference.version);
            if self.referrers.get_mut(&to).is_some_and(take_out) {
                self.referrers.remove(&to);
            }
        }
        self.bytes -= weight(&entry.definition);
    }

    fn soft_delete(&mut self, subject: &str, version_max: i32) {
        let context = self.contexts.get_mut(&Subject::parse(subject).context);
        let Some(versions) = context.and_then(|context| context.subjects.get_mut(subject)) else { return };
        versions.range_mut(..=version_max).for_each(|(_, entry)| entry.is_deleted = true);
    }

    /// The bytes of all schemas, about, with what the indexes take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many records were left aside, since they contradicted older ones.
    pub fn contradicting(&self) -> u64 {
        self.contradicting
    }

    /// The versions of a subject, in their order.
    pub fn versions(&self, subject: &Subject) -> impl DoubleEndedIterator<Item = (i32, &Entry)> {
        let versions = self.contexts.get(&subject.context);
        let versions = versions.and_then(|context| context.subjects.get(&subject.to_string()));
        versions.into_iter().flatten().map(|(version, entry)| (*version, entry))
    }

    /// A version of a subject, deleted or not.
    pub fn entry(&self, subject: &Subject, version: i32) -> Option<&Entry> {
        self.contexts.get(&subject.context)?.subjects.get(&subject.to_string())?.get(&version)
    }

    /// The latest version of a subject that is not deleted.
    pub fn latest(&self, subject: &Subject) -> Option<(i32, &Entry)> {
        self.versions(subject).rev().find(|(_, entry)| !entry.is_deleted)
    }

    /// Whether a subject, or a context, has such a version.
    pub fn has(&self, subject: &Subject, filter: Filter) -> bool {
        if subject.name.is_empty() {
            let subjects = self.contexts.get(&subject.context).map(|context| context.subjects.values());
            return subjects.into_iter().flatten().flatten().any(|(_, entry)| filter.takes(entry.is_deleted));
        }
        self.versions(subject).any(|(_, entry)| filter.takes(entry.is_deleted))
    }

    /// The names of all subjects, qualified, in the order of contexts and names.
    pub fn subjects(&self) -> impl Iterator<Item = (&str, &BTreeMap<i32, Entry>)> {
        let subjects = self.contexts.values().flat_map(|context| &context.subjects);
        subjects.map(|(name, versions)| (name.as_str(), versions))
    }

    /// The subjects of one context.
    pub(crate) fn subjects_of(&self, context: &str) -> impl Iterator<Item = (&str, &BTreeMap<i32, Entry>)> {
        let subjects = self.contexts.get(context).into_iter().flat_map(|context| &context.subjects);
        subjects.map(|(name, versions)| (name.as_str(), versions))
    }

    /// The contexts that there are, the default one first.
    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(DEFAULT_CONTEXT).chain(self.named.iter().map(String::as_str))
    }

    pub(crate) fn has_context(&self, context: &str) -> bool {
        context == DEFAULT_CONTEXT || self.named.contains(context)
    }

    /// The versions that have an id, in a context.
    pub fn places_of_id(&self, context: &str, id: i32) -> impl Iterator<Item = (&Place, &Entry)> {
        let context = self.contexts.get(context);
        let places = context.and_then(|context| context.ids.get(&id)).into_iter().flatten();
        places.filter_map(move |place| Some((place, context?.subjects.get(&place.0)?.get(&place.1)?)))
    }

    /// The first of the versions that have an id.
    pub(crate) fn first_of_id(&self, context: &str, id: i32) -> Option<(&Place, &Entry)> {
        self.places_of_id(context, id).next()
    }

    /// The ids of a definition in a context, each with the versions that have it.
    pub(crate) fn ids_of(&self, context: &str, guid: Guid) -> impl Iterator<Item = (i32, &BTreeSet<Place>)> {
        let ids = self.contexts.get(context).and_then(|context| context.guids.get(&guid));
        ids.into_iter().flatten().map(|(id, places)| (*id, places))
    }

    /// The contexts that have a definition, with its ids.
    pub(crate) fn contexts_of(&self, guid: Guid) -> impl Iterator<Item = (&str, i32)> {
        let contexts = self.contexts.iter();
        contexts.flat_map(move |(name, context)| {
            context.guids.get(&guid).into_iter().flatten().map(|(id, _)| (name.as_str(), *id))
        })
    }

    /// The highest id that was ever given in a context.
    pub fn id_max(&self, context: &str) -> i32 {
        self.contexts.get(context).map_or(0, |context| context.id_max)
    }

    /// The highest ids of all contexts.
    pub(crate) fn ids_max(&self) -> BTreeMap<String, i32> {
        let ids = self.contexts.iter().filter(|(_, context)| context.id_max > 0);
        ids.map(|(name, context)| (name.clone(), context.id_max)).collect()
    }

    /// Who refers to a version.
    pub(crate) fn referrers(&self, subject: &Subject, version: i32, filter: Filter) -> BTreeSet<Place> {
        let is_latest = self.latest(subject).is_some_and(|(latest, _)| latest == version);
        let versions = [Some(version), is_latest.then_some(-1)];
        let name = subject.to_string();
        let places = versions.into_iter().flatten();
        let places = places.filter_map(|version| self.referrers.get(&(name.clone(), version))).flatten();
        let is_meant = |place: &&Place| {
            let entry = self.entry(&Subject::parse(&place.0), place.1);
            entry.is_some_and(|entry| filter.takes(entry.is_deleted))
        };
        places.filter(is_meant).cloned().collect()
    }

    /// What is set for a subject or a context alone; `None` is what is set for all.
    pub fn config(&self, subject: Option<&Subject>) -> Option<Config> {
        let config = self.configs.get(&subject.map(ToString::to_string)).cloned();
        match config {
            Some(mut config) => {
                config.level.get_or_insert(Level::DEFAULT);
                Some(config)
            }
            None if is_for_all(subject) => Some(Config { level: Some(Level::DEFAULT), ..Config::default() }),
            None => None,
        }
    }

    /// What is stored for a subject, a context or all.
    pub(crate) fn stored_config(&self, subject: Option<&Subject>) -> Option<&Config> {
        self.configs.get(&subject.map(ToString::to_string))
    }

    /// What holds for a subject.
    pub fn config_in_scope(&self, subject: Option<&Subject>) -> Config {
        let own = subject.and_then(|subject| self.config(Some(subject)));
        let mut config = match own {
            Some(own) => own.over(&self.config(None).unwrap_or_default()),
            None => self.in_scope(&self.configs, subject).cloned().unwrap_or_default(),
        };
        config.level.get_or_insert(Level::DEFAULT);
        config
    }

    /// The mode that is set for a subject or a context alone; `None` is that of all.
    pub fn mode(&self, subject: Option<&Subject>) -> Option<Mode> {
        let mode = self.modes.get(&subject.map(ToString::to_string)).copied();
        mode.or_else(|| is_for_all(subject).then_some(Mode::ReadWrite))
    }

    /// The subjects and contexts for which a mode is set.
    pub(crate) fn modes(&self) -> impl Iterator<Item = &str> {
        self.modes.keys().filter_map(|subject| subject.as_deref())
    }

    /// What is set for subjects and contexts.
    pub(crate) fn configs(&self) -> impl Iterator<Item = (&str, &Config)> {
        self.configs.iter().filter_map(|(subject, config)| Some((subject.as_deref()?, config)))
    }

    /// The mode that holds for a subject.
    pub fn mode_in_scope(&self, subject: Option<&Subject>) -> Mode {
        if self.modes.get(&None) == Some(&Mode::ReadOnlyOverride) {
            return Mode::ReadOnlyOverride;
        }
        self.in_scope(&self.modes, subject).copied().unwrap_or(Mode::ReadWrite)
    }

    /// The narrowest of what is set: for the subject, its context (or all of the default context), all
    /// contexts.
    fn in_scope<'a, T>(
        &self,
        settings: &'a BTreeMap<Option<String>, T>,
        subject: Option<&Subject>,
    ) -> Option<&'a T> {
        let context = match subject {
            Some(subject) if !subject.is_unqualified() => Some(subject.prefix()),
            _ => None,
        };
        let places = [subject.map(ToString::to_string), context, Some(prefix_of(GLOBAL_CONTEXT))];
        places.iter().find_map(|place| settings.get(place))
    }
}

/// Whether what is set there is set for all subjects, and so is never unset.
fn is_for_all(subject: Option<&Subject>) -> bool {
    subject.is_none_or(|subject| subject.context == GLOBAL_CONTEXT)
}

fn weight(definition: &Definition) -> usize {
    definition.weight() + ENTRY_BYTES
}

#[cfg(test)]
mod tests;
