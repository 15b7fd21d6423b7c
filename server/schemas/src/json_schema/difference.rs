//! Whether all data of one schema is data of another, and where it is not.
//!
//! The rules, and the words of the answer, are those of Confluent's registry in its strict form. A schema is
//! compared with another as trees are; where both come back to a pair that is being compared, the pair is
//! taken to get along, and the whole is compared again as long as that turns out wrong for some pair.

use std::collections::{BTreeMap, BTreeSet};

use super::{Criterion, JsonSchema, Kind, Node, NodeId, NumberRules, StringRules};
use crate::limits::{Budget, TooComplex};

/// Differences of one pair that are told.
const DIFFERENCES_MAX: usize = 1_000;
/// What a pair costs, in steps: what is known of it is kept, some hundred bytes.
const PAIR_STEPS: usize = 16;
/// How deep pairs nest.
const DEPTH_MAX: usize = 300;

impl JsonSchema {
    /// Why data of `writer` may be no data of this; empty where all of it is.
    pub(crate) fn cannot_read(
        &self,
        writer: &JsonSchema,
        budget: &mut Budget,
    ) -> Result<Vec<String>, TooComplex> {
        let mut wrong: BTreeMap<Pair, Vec<Difference>> = BTreeMap::new();
        loop {
            let mut comparison = Comparison {
                original: &writer.nodes,
                update: &self.nodes,
                path: Vec::new(),
                running: BTreeSet::new(),
                known: BTreeMap::new(),
                wrong: &wrong,
                has_assumed: false,
                depth: 0,
                budget: &mut *budget,
            };
            let mut found = Vec::new();
            comparison.compare(writer.root, self.root, &mut found)?;
            let has_assumed = comparison.has_assumed;
            let again: BTreeMap<Pair, Vec<Difference>> =
                comparison.known.into_iter().filter(|(_, differences)| !differences.is_empty()).collect();
            if !has_assumed || again.keys().eq(wrong.keys()) {
                return Ok(found.iter().map(Difference::words).collect());
            }
            wrong = again;
        }
    }
}

/// A node of the original and one of the update.
type Pair = (NodeId, NodeId);

/// Something of the update that does not get along with the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    name: String,
    /// From where it was found on.
    path: String,
    words: Words,
}

/// What is said of a difference: first the update is named, then the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    Keyword,
    More,
    Less,
    Changed,
    Fewer,
    Extended,
    Type,
    AddedToOpen,
    RequiredAdded,
    RemovedFromClosed,
    RemovedNotCovered,
    AddedNotCovered,
    None,
}

impl Difference {
    fn words(&self) -> String {
        let path = format!("#/{}", self.path);
        let description = match self.words {
            Words::Keyword => {
                format!("The keyword at path '{path}' in the %s schema is not present in the %s schema")
            }
            Words::More => {
                format!("The value at path '{path}' in the %s schema is more than its value in the %s schema")
            }
            Words::Less => {
                format!("The value at path '{path}' in the %s schema is less than its value in the %s schema")
            }
            Words::Changed => {
                format!("The value at path '{path}' is different between the %s and %s schema")
            }
            Words::Fewer => format!(
                "An array or combined type at path '{path}' has fewer elements in the %s schema than the %s schema"
            ),
            Words::Extended => format!(
                "An array or combined type at path '{path}' has more elements in the %s schema than the %s schema"
            ),
            Words::Type => {
                format!("A type at path '{path}' is different between the %s schema and the %s schema")
            }
            Words::AddedToOpen => format!(
                "The %s schema has an open content model and has a property or item at path '{path}' which is \
                 missing in the %s schema"
            ),
            Words::RequiredAdded => format!(
                "The %s schema has an unopen content model and has a required property at path '{path}' which \
                 is missing in the %s schema"
            ),
            Words::RemovedFromClosed => format!(
                "The %s has a closed content model and is missing a property or item present at path '{path}' \
                 in the %s schema"
            ),
            Words::RemovedNotCovered => format!(
                "A property or item is missing in the %s schema but present at path '{path}' in the %s schema \
                 and is not covered by its partially open content model"
            ),
            Words::AddedNotCovered => format!(
                "The %s schema has a property or item at path '{path}' which is missing in the %s schema and \
                 is not covered by its partially open content model"
            ),
            Words::None => String::new(),
        };
        format!("{{errorType:\"{}\", description:\"{description}'}}", self.name)
    }
}

pub(super) type Found = Vec<Difference>;
pub(super) type Done = Result<(), TooComplex>;

pub(super) struct Comparison<'a> {
    pub(super) original: &'a [Node],
    pub(super) update: &'a [Node],
    path: Vec<String>,
    /// The pairs around.
    running: BTreeSet<Pair>,
    /// What was found for a pair, with paths from there on.
    known: BTreeMap<Pair, Found>,
    /// The pairs that an earlier round has found to differ.
    wrong: &'a BTreeMap<Pair, Found>,
    /// Whether a pair was taken to get along since it stands around.
    has_assumed: bool,
    depth: usize,
    pub(super) budget: &'a mut Budget,
}

impl Comparison<'_> {
    /// Compares two schemas at the place where the comparison stands.
    pub(super) fn compare(&mut self, original: NodeId, update: NodeId, found: &mut Found) -> Done {
        self.budget.spend(PAIR_STEPS)?;
        let pair = (followed(self.original, original), followed(self.update, update));
        if let Some(known) = self.known.get(&pair) {
            self.budget.spend(known.len())?;
            let prefix = self.path.join("/");
            found.extend(known.iter().map(|difference| difference.below(&prefix)));
            found.truncate(DIFFERENCES_MAX);
            return Ok(());
        }
        if self.running.contains(&pair) {
            self.has_assumed = true;
            if let Some(wrong) = self.wrong.get(&pair) {
                let prefix = self.path.join("/");
                found.extend(wrong.iter().map(|difference| difference.below(&prefix)));
            }
            return Ok(());
        }
        if self.depth >= DEPTH_MAX {
            return Err(TooComplex);
        }
        self.depth += 1;
        self.running.insert(pair);
        let path = std::mem::take(&mut self.path);
        let mut of_pair = Vec::new();
        self.compare_kinds(pair, &mut of_pair)?;
        self.path = path;
        self.running.remove(&pair);
        self.depth -= 1;
        of_pair.truncate(DIFFERENCES_MAX);
        let prefix = self.path.join("/");
        found.extend(of_pair.iter().map(|difference| difference.below(&prefix)));
        self.known.insert(pair, of_pair);
        Ok(())
    }

    /// Whether two schemas get along; what differs is not told.
    pub(super) fn gets_along(&mut self, original: NodeId, update: NodeId) -> Result<bool, TooComplex> {
        let mut found = Vec::new();
        self.compare(original, update, &mut found)?;
        Ok(found.is_empty())
    }

    pub(super) fn add(&mut self, name: &str, words: Words, found: &mut Found) {
        found.push(Difference { name: name.to_owned(), path: self.path.join("/"), words });
    }

    pub(super) fn within(&mut self, place: &str, what: impl FnOnce(&mut Self) -> Done) -> Done {
        self.path.push(place.to_owned());
        let done = what(self);
        self.path.pop();
        done
    }

    fn compare_kinds(&mut self, pair: Pair, found: &mut Found) -> Done {
        let (original, update) = (&self.original[pair.0], &self.update[pair.1]);
        match (&original.kind, &update.kind) {
            (Kind::Combined(_, originals), Kind::Combined(_, updates)) => {
                return self.compare_combined(pair, originals, updates, found);
            }
            (_, Kind::Combined(criterion, parts))
                if (parts.len() == 1 || *criterion != Criterion::All) && self.is_any(pair.0, parts)? =>
            {
                return Ok(());
            }
            (Kind::Combined(criterion, parts), _)
                if (parts.len() == 1 || *criterion == Criterion::All) && self.is_any_of(parts, pair.1)? =>
            {
                return Ok(());
            }
            _ => {}
        }
        match (&original.kind, &update.kind) {
            (Kind::String(original), Kind::String(update)) => self.compare_strings(original, update, found),
            (Kind::Number(original), Kind::Number(update)) => self.compare_numbers(original, update, found),
            (Kind::Const(original), Kind::Const(update)) => {
                if !original.means(update) {
                    self.at("const", "ENUM_ARRAY_CHANGED", Words::Type, found);
                }
            }
            (Kind::Enum(original), Kind::Enum(update)) => {
                self.budget.spend(original.len().saturating_mul(update.len()))?;
                let holds = |all: &[_], some: &[_]| {
                    some.iter().all(|value: &crate::json::Json| all.iter().any(|other| value.means(other)))
                };
                match (holds(update, original), holds(original, update)) {
                    (true, _) => {}
                    (false, true) => self.at("enum", "ENUM_ARRAY_NARROWED", Words::Fewer, found),
                    (false, false) => self.at("enum", "ENUM_ARRAY_CHANGED", Words::Type, found),
                }
            }
            (Kind::Not(original), Kind::Not(update)) => return self.compare_nots(*original, *update, found),
            (Kind::Object(original), Kind::Object(update)) => {
                return self.compare_objects(original, update, found);
            }
            (Kind::Array(original), Kind::Array(update)) => {
                return self.compare_arrays(original, update, found);
            }
            (Kind::Nothing, _) | (_, Kind::Any) => {}
            (Kind::Null, Kind::Null)
            | (Kind::Boolean, Kind::Boolean)
            | (Kind::Conditional(_), Kind::Conditional(_)) => {}
            _ if original.is_connect_bytes && update.is_connect_bytes => {}
            _ => self.add("TYPE_CHANGED", Words::Type, found),
        }
        Ok(())
    }

    fn is_any(&mut self, original: NodeId, parts: &[NodeId]) -> Result<bool, TooComplex> {
        for part in parts {
            if self.gets_along(original, *part)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_any_of(&mut self, parts: &[NodeId], update: NodeId) -> Result<bool, TooComplex> {
        for part in parts {
            if self.gets_along(*part, update)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn at(&mut self, keyword: &str, name: &str, words: Words, found: &mut Found) {
        self.path.push(keyword.to_owned());
        self.add(name, words, found);
        self.path.pop();
    }

    /// A keyword that takes less the smaller it is.
    pub(super) fn upper<T: PartialOrd>(
        &mut self,
        (keyword, stem): (&str, &str),
        original: Option<T>,
        update: Option<T>,
        found: &mut Found,
    ) {
        match (original, update) {
            (None, Some(_)) => self.at(keyword, &format!("{stem}_ADDED"), Words::Keyword, found),
            (Some(original), Some(update)) if update < original => {
                self.at(keyword, &format!("{stem}_DECREASED"), Words::Less, found);
            }
            _ => {}
        }
    }

    /// A keyword that takes less the larger it is.
    pub(super) fn lower<T: PartialOrd>(
        &mut self,
        (keyword, stem): (&str, &str),
        original: Option<T>,
        update: Option<T>,
        found: &mut Found,
    ) {
        match (original, update) {
            (None, Some(_)) => self.at(keyword, &format!("{stem}_ADDED"), Words::Keyword, found),
            (Some(original), Some(update)) if update > original => {
                self.at(keyword, &format!("{stem}_INCREASED"), Words::More, found);
            }
            _ => {}
        }
    }

    fn compare_strings(&mut self, original: &StringRules, update: &StringRules, found: &mut Found) {
        self.upper(("maxLength", "MAX_LENGTH"), original.length_max, update.length_max, found);
        self.lower(("minLength", "MIN_LENGTH"), original.length_min, update.length_min, found);
        match (&original.pattern, &update.pattern) {
            (None, Some(_)) => self.at("pattern", "PATTERN_ADDED", Words::Keyword, found),
            (Some(original), Some(update)) if original != update => {
                self.at("pattern", "PATTERN_CHANGED", Words::Changed, found);
            }
            _ => {}
        }
    }

    fn compare_numbers(&mut self, original: &NumberRules, update: &NumberRules, found: &mut Found) {
        self.upper(("maximum", "MAXIMUM"), original.maximum, update.maximum, found);
        self.lower(("minimum", "MINIMUM"), original.minimum, update.minimum, found);
        self.upper(("exclusiveMaximum", "EXCLUSIVE_MAXIMUM"), original.below, update.below, found);
        self.lower(("exclusiveMinimum", "EXCLUSIVE_MINIMUM"), original.above, update.above, found);
        match (original.multiple_of, update.multiple_of) {
            (None, Some(_)) => self.at("multipleOf", "MULTIPLE_OF_ADDED", Words::Keyword, found),
            (Some(original), Some(update)) if original != update => {
                if original != 0.0 && is_multiple(update, original) {
                    self.at("multipleOf", "MULTIPLE_OF_EXPANDED", Words::More, found);
                } else if update == 0.0 || !is_multiple(original, update) {
                    self.at("multipleOf", "MULTIPLE_OF_CHANGED", Words::Changed, found);
                }
            }
            _ => {}
        }
        if update.is_integer && !original.is_integer {
            self.add("TYPE_NARROWED", Words::Type, found);
        }
    }

    fn compare_nots(&mut self, original: NodeId, update: NodeId, found: &mut Found) -> Done {
        // What must not match is compared the other way round: a table of its own, since pairs are turned.
        let (left, right) = (self.update, self.original);
        let wrong = BTreeMap::new();
        if self.depth >= DEPTH_MAX {
            return Err(TooComplex);
        }
        let mut turned = Comparison {
            original: left,
            update: right,
            path: Vec::new(),
            running: BTreeSet::new(),
            known: BTreeMap::new(),
            wrong: &wrong,
            has_assumed: false,
            depth: self.depth + 1,
            budget: &mut *self.budget,
        };
        if !turned.gets_along(update, original)? {
            self.at("not", "NOT_TYPE_EXTENDED", Words::Extended, found);
        }
        Ok(())
    }

    fn compare_combined(
        &mut self,
        pair: Pair,
        originals: &[NodeId],
        updates: &[NodeId],
        found: &mut Found,
    ) -> Done {
        let criterion = |node: &Node| match node.kind {
            Kind::Combined(criterion, _) => criterion,
            _ => Criterion::All,
        };
        let (before, after) = (criterion(&self.original[pair.0]), criterion(&self.update[pair.1]));
        let is_extended = after == Criterion::Any
            || (originals.len() == 1 && updates.len() == 1)
            || (originals.len() == 1 && after == Criterion::One)
            || (updates.len() == 1 && before == Criterion::All);
        if before != after && !is_extended {
            self.add("COMBINED_TYPE_CHANGED", Words::Type, found);
            return Ok(());
        }
        if originals.len() < updates.len() && after == Criterion::All {
            self.add("PRODUCT_TYPE_EXTENDED", Words::Extended, found);
        } else if originals.len() > updates.len() && before != Criterion::All {
            self.add("SUM_TYPE_NARROWED", Words::Fewer, found);
        }
        let mut edges = Vec::with_capacity(originals.len());
        for original in originals {
            let mut fits = Vec::new();
            for (at, update) in updates.iter().enumerate() {
                if self.gets_along(*original, *update)? {
                    fits.push(at);
                }
            }
            edges.push(fits);
        }
        if self.matched(&edges, updates.len())? < originals.len().min(updates.len()) {
            self.add("COMBINED_TYPE_SUBSCHEMAS_CHANGED", Words::Type, found);
        }
        Ok(())
    }

    /// How many of the originals can have an update of their own that gets along (Kuhn's algorithm).
    fn matched(&mut self, edges: &[Vec<usize>], updates: usize) -> Result<usize, TooComplex> {
        let mut taken: Vec<Option<usize>> = vec![None; updates];
        let mut matched = 0;
        for original in 0..edges.len() {
            let mut seen = vec![false; updates];
            self.budget.spend(updates)?;
            // The way of exchanges that is being tried: an original, and how many of its edges were tried.
            let mut way = vec![(original, 0)];
            while let Some((at, tried)) = way.last_mut() {
                self.budget.spend(1)?;
                let Some(update) = edges[*at].get(*tried).copied() else {
                    way.pop();
                    continue;
                };
                *tried += 1;
                if std::mem::replace(&mut seen[update], true) {
                    continue;
                }
                match taken[update] {
                    Some(holder) => way.push((holder, 0)),
                    None => {
                        for (at, tried) in &way {
                            taken[edges[*at][*tried - 1]] = Some(*at);
                        }
                        matched += 1;
                        break;
                    }
                }
            }
        }
        Ok(matched)
    }
}

impl Difference {
    fn below(&self, prefix: &str) -> Difference {
        let path = match (prefix, self.path.as_str()) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}/{path}"),
        };
        Difference { path, ..self.clone() }
    }
}

/// The node behind a reference.
fn followed(nodes: &[Node], id: NodeId) -> NodeId {
    match nodes[id].kind {
        Kind::Reference(to) => to,
        _ => id,
    }
}

fn is_multiple(of: f64, unit: f64) -> bool {
    let times = of / unit;
    (times - times.round()).abs() < 1e-9
}
