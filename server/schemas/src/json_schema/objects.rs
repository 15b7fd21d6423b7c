//! Objects and arrays: what a property or an item that comes or goes means depends on what becomes of those
//! that nothing speaks of.

use std::collections::{BTreeMap, BTreeSet};

use super::difference::{Comparison, Done, Found, Words};
use super::{ArrayRules, Kind, Node, NodeId, ObjectRules, Rest};
use crate::limits::TooComplex;

/// What a pattern costs, in steps of a comparison.
const PATTERN_STEPS: usize = 5_000;
/// Bytes of a pattern of properties that is looked at, and of what is made of it.
const PATTERN_BYTES_MAX: usize = 1_000;
const AUTOMATON_BYTES_MAX: usize = 1 << 18;

impl Comparison<'_> {
    pub(super) fn compare_objects(
        &mut self,
        original: &ObjectRules,
        update: &ObjectRules,
        found: &mut Found,
    ) -> Done {
        let before: BTreeMap<&str, NodeId> = by_name(&original.properties);
        let after: BTreeMap<&str, NodeId> = by_name(&update.properties);
        let required_before: BTreeSet<&str> = original.required.iter().map(String::as_str).collect();
        let required_after: BTreeSet<&str> = update.required.iter().map(String::as_str).collect();
        self.within("required", |this| {
            for name in before.keys().filter(|name| after.contains_key(*name)) {
                let is_new = !required_before.contains(name) && required_after.contains(name);
                if is_new && !this.update[after[name]].has_default {
                    this.within(name, |this| {
                        this.add("REQUIRED_ATTRIBUTE_ADDED", Words::Keyword, found);
                        Ok(())
                    })?;
                }
            }
            Ok(())
        })?;
        self.within("properties", |this| {
            let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
            for name in names {
                this.within(name, |this| match (before.get(name), after.get(name)) {
                    (Some(before), Some(after)) => this.compare(*before, *after, found),
                    (Some(before), None) => this.property_removed(name, *before, update, found),
                    (None, Some(after)) => {
                        let is_required = required_after.contains(name);
                        this.property_added(name, *after, is_required, original, found)
                    }
                    (None, None) => Ok(()),
                })?;
            }
            Ok(())
        })?;
        self.compare_dependencies(original, update, found)?;
        self.compare_rest(
            "additionalProperties",
            "ADDITIONAL_PROPERTIES",
            original.others,
            update.others,
            found,
        )?;
        let unevaluated = (original.unevaluated, update.unevaluated);
        self.compare_unevaluated("unevaluatedProperties", "UNEVALUATED_PROPERTIES", unevaluated, found)?;
        self.upper(
            ("maxProperties", "MAX_PROPERTIES"),
            original.properties_max,
            update.properties_max,
            found,
        );
        self.lower(
            ("minProperties", "MIN_PROPERTIES"),
            original.properties_min,
            update.properties_min,
            found,
        );
        Ok(())
    }

    fn property_removed(
        &mut self,
        name: &str,
        before: NodeId,
        update: &ObjectRules,
        found: &mut Found,
    ) -> Done {
        if is_open(update, self.update) {
            return Ok(());
        }
        match self.covering(update, self.update, name)? {
            Some(part) => {
                let mut of_part = Vec::new();
                self.compare(before, part, &mut of_part)?;
                if !of_part.is_empty() {
                    found.append(&mut of_part);
                    let name = "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                    self.add(name, Words::RemovedNotCovered, found);
                }
            }
            None if matches!(self.original[before].kind, Kind::Nothing) => {}
            None => {
                self.add("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL", Words::RemovedFromClosed, found);
            }
        }
        Ok(())
    }

    fn property_added(
        &mut self,
        name: &str,
        after: NodeId,
        is_required: bool,
        original: &ObjectRules,
        found: &mut Found,
    ) -> Done {
        let node = &self.update[after];
        let (takes_all, has_default) = (matches!(node.kind, Kind::Any), node.has_default);
        if is_open(original, self.original) {
            match (takes_all, is_required, has_default) {
                (true, ..) => {}
                (false, true, true) => self.add(
                    "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_OPEN_CONTENT_MODEL",
                    Words::AddedToOpen,
                    found,
                ),
                (false, true, false) => {
                    self.add("REQUIRED_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", Words::AddedToOpen, found);
                }
                (false, false, _) => {
                    self.add("OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL", Words::AddedToOpen, found);
                }
            }
            return Ok(());
        }
        if let Some(part) = self.covering(original, self.original, name)? {
            let mut of_part = Vec::new();
            self.compare(part, after, &mut of_part)?;
            if !of_part.is_empty() {
                found.append(&mut of_part);
                let name = "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                self.add(name, Words::AddedNotCovered, found);
            }
        }
        if is_required && !has_default {
            self.add("REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL", Words::RequiredAdded, found);
        }
        Ok(())
    }

    /// The schema that holds for a property which is not named.
    fn covering(
        &mut self,
        rules: &ObjectRules,
        nodes: &[Node],
        name: &str,
    ) -> Result<Option<NodeId>, TooComplex> {
        for (pattern, node) in &rules.patterns {
            self.budget.spend(PATTERN_STEPS)?;
            if matches_pattern(pattern, name) {
                return Ok(Some(*node));
            }
        }
        let is_plain = |node: &NodeId| matches!(nodes[*node].kind, Kind::Any | Kind::Nothing);
        Ok(match rules.others {
            Rest::Of(node) => Some(node),
            Rest::Refused => None,
            Rest::Permitted => rules.unevaluated.filter(|node| !is_plain(node)),
        })
    }

    fn compare_dependencies(
        &mut self,
        original: &ObjectRules,
        update: &ObjectRules,
        found: &mut Found,
    ) -> Done {
        self.within("dependencies", |this| {
            let before: BTreeMap<&str, &Vec<String>> =
                original.needs.iter().map(|(name, needs)| (name.as_str(), needs)).collect();
            for (name, needs) in &update.needs {
                let after: BTreeSet<&String> = needs.iter().collect();
                let before = before.get(name.as_str()).map(|needs| needs.iter().collect::<BTreeSet<_>>());
                let (change, words) = match before {
                    None => ("DEPENDENCY_ARRAY_ADDED", Words::Keyword),
                    Some(before) if before.is_superset(&after) => continue,
                    Some(before) if after.is_superset(&before) => {
                        ("DEPENDENCY_ARRAY_EXTENDED", Words::Extended)
                    }
                    Some(_) => ("DEPENDENCY_ARRAY_CHANGED", Words::Changed),
                };
                this.within(name, |this| {
                    this.add(change, words, found);
                    Ok(())
                })?;
            }
            let before: BTreeMap<&str, NodeId> = by_name(&original.implies);
            for (name, after) in &update.implies {
                this.within(name, |this| match before.get(name.as_str()) {
                    Some(before) => this.compare(*before, *after, found),
                    None => {
                        this.add("DEPENDENCY_SCHEMA_ADDED", Words::Keyword, found);
                        Ok(())
                    }
                })?;
            }
            Ok(())
        })
    }

    fn compare_rest(
        &mut self,
        keyword: &str,
        stem: &str,
        original: Rest,
        update: Rest,
        found: &mut Found,
    ) -> Done {
        self.within(keyword, |this| {
            match (original, update) {
                (Rest::Permitted | Rest::Of(_), Rest::Refused) => {
                    this.add(&format!("{stem}_REMOVED"), Words::Keyword, found);
                }
                (Rest::Permitted, Rest::Of(_)) => {
                    this.add(&format!("{stem}_NARROWED"), Words::Fewer, found);
                }
                (Rest::Of(before), Rest::Of(after)) => this.compare(before, after, found)?,
                _ => {}
            }
            Ok(())
        })
    }

    fn compare_unevaluated(
        &mut self,
        keyword: &str,
        stem: &str,
        (original, update): (Option<NodeId>, Option<NodeId>),
        found: &mut Found,
    ) -> Done {
        let Some(after) = update else { return Ok(()) };
        self.within(keyword, |this| {
            let takes = |node: &Node| match node.kind {
                Kind::Any => Rest::Permitted,
                Kind::Nothing => Rest::Refused,
                _ => Rest::Of(0),
            };
            let before = original.map(|before| (before, takes(&this.original[before])));
            match (before, takes(&this.update[after])) {
                (Some((_, Rest::Refused)), Rest::Refused) => {}
                (_, Rest::Refused) => this.add(&format!("{stem}_REMOVED"), Words::Keyword, found),
                (None, _) | (Some((_, Rest::Permitted)), Rest::Of(_)) => {
                    this.add(&format!("{stem}_NARROWED"), Words::Fewer, found);
                }
                (Some((_, Rest::Refused)), _) | (_, Rest::Permitted) => {}
                (Some((before, _)), Rest::Of(_)) => this.compare(before, after, found)?,
            }
            Ok(())
        })
    }

    pub(super) fn compare_arrays(
        &mut self,
        original: &ArrayRules,
        update: &ArrayRules,
        found: &mut Found,
    ) -> Done {
        self.within("items", |this| match (original.all, update.all) {
            (Some(before), Some(after)) => this.compare(before, after, found),
            (None, Some(_)) => {
                this.add("SCHEMA_ADDED", Words::None, found);
                Ok(())
            }
            (_, None) => Ok(()),
        })?;
        for at in 0..original.each.len().max(update.each.len()) {
            self.within(&format!("items/{at}"), |this| match (original.each.get(at), update.each.get(at)) {
                (Some(before), Some(after)) => this.compare(*before, *after, found),
                (Some(before), None) => this.item_removed(*before, update, found),
                (None, Some(after)) => this.item_added(*after, original, found),
                (None, None) => Ok(()),
            })?;
        }
        self.compare_rest("additionalItems", "ADDITIONAL_ITEMS", original.others, update.others, found)?;
        let unevaluated = (original.unevaluated, update.unevaluated);
        self.compare_unevaluated("unevaluatedItems", "UNEVALUATED_ITEMS", unevaluated, found)?;
        self.upper(("maxItems", "MAX_ITEMS"), original.items_max, update.items_max, found);
        self.lower(("minItems", "MIN_ITEMS"), original.items_min, update.items_min, found);
        if update.is_unique && !original.is_unique {
            self.within("uniqueItems", |this| {
                this.add("UNIQUE_ITEMS_ADDED", Words::Keyword, found);
                Ok(())
            })?;
        }
        self.upper(("maxContains", "MAX_CONTAINS"), original.contains_max, update.contains_max, found);
        self.lower(("minContains", "MIN_CONTAINS"), original.contains_min, update.contains_min, found);
        Ok(())
    }

    fn item_removed(&mut self, before: NodeId, update: &ArrayRules, found: &mut Found) -> Done {
        match rest_of_items(update, self.update) {
            Rest::Permitted => {}
            Rest::Of(part) => {
                let mut of_part = Vec::new();
                self.compare(before, part, &mut of_part)?;
                if !of_part.is_empty() {
                    found.append(&mut of_part);
                    let name = "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                    self.add(name, Words::RemovedNotCovered, found);
                }
            }
            Rest::Refused if matches!(self.original[before].kind, Kind::Nothing) => {}
            Rest::Refused => {
                self.add("ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL", Words::RemovedFromClosed, found);
            }
        }
        Ok(())
    }

    fn item_added(&mut self, after: NodeId, original: &ArrayRules, found: &mut Found) -> Done {
        match rest_of_items(original, self.original) {
            Rest::Permitted if matches!(self.update[after].kind, Kind::Any) => {}
            Rest::Permitted => self.add("ITEM_ADDED_TO_OPEN_CONTENT_MODEL", Words::AddedToOpen, found),
            Rest::Of(part) => {
                let mut of_part = Vec::new();
                self.compare(part, after, &mut of_part)?;
                if !of_part.is_empty() {
                    found.append(&mut of_part);
                    let name = "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL";
                    self.add(name, Words::AddedNotCovered, found);
                }
            }
            Rest::Refused => {}
        }
        Ok(())
    }
}

fn by_name(list: &[(String, NodeId)]) -> BTreeMap<&str, NodeId> {
    list.iter().map(|(name, node)| (name.as_str(), *node)).collect()
}

/// Whether an object may have any property beside those that are named.
fn is_open(rules: &ObjectRules, nodes: &[Node]) -> bool {
    rules.others == Rest::Permitted
        && rules.patterns.is_empty()
        && rules.unevaluated.is_none_or(|node| matches!(nodes[node].kind, Kind::Any))
}

fn rest_of_items(rules: &ArrayRules, nodes: &[Node]) -> Rest {
    match (rules.others, rules.unevaluated) {
        (Rest::Permitted, Some(node)) => match nodes[node].kind {
            Kind::Any => Rest::Permitted,
            Kind::Nothing => Rest::Refused,
            _ => Rest::Of(node),
        },
        (others, _) => others,
    }
}

/// Whether a name matches a pattern anywhere; a pattern that is not understood, or is too large, matches
/// nothing.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    use regex_automata::dfa::{Automaton, dense};
    if pattern.len() > PATTERN_BYTES_MAX {
        return false;
    }
    let limited = dense::Config::new()
        .determinize_size_limit(Some(AUTOMATON_BYTES_MAX))
        .dfa_size_limit(Some(AUTOMATON_BYTES_MAX));
    let automaton = dense::Builder::new().configure(limited).build(pattern);
    automaton.is_ok_and(|automaton| {
        matches!(automaton.try_search_fwd(&regex_automata::Input::new(name)), Ok(Some(_)))
    })
}
