//! Names in a request are a set (D11): what is asked for twice is answered once, in the order in which it was
//! first asked for. Nothing that is looked up, made or answered for a name is multiplied by how often the
//! name comes.

use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use strandline_engine::reactor::yield_if_needed;

/// Values that are looked at before the thread is offered to others.
const STEP: usize = 256;

/// The values, each once.
pub(super) async fn distinct<T: Eq + Hash>(mut values: Vec<T>) -> Vec<T> {
    if values.len() < 2 {
        return values;
    }
    let mut is_first = Vec::with_capacity(values.len());
    {
        let mut met = HashSet::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            is_first.push(met.insert(value));
            if at % STEP == STEP - 1 {
                yield_if_needed().await;
            }
        }
    }
    if is_first.contains(&false) {
        let mut is_first = is_first.into_iter();
        values.retain(|_| is_first.next().unwrap_or(false));
    }
    values
}

/// The values under their names: each name once, and each value once under it. Of values with the same key
/// the last one counts, where the first one stood: so Kafka's maps have it.
pub(super) async fn distinct_by_name<N, V, K>(
    named: Vec<(N, Vec<V>)>,
    key: impl Fn(&V) -> K,
) -> Vec<(N, Vec<V>)>
where
    N: Clone + Eq + Hash,
    K: Eq + Hash,
{
    let mut merged: Vec<(N, Vec<V>)> = Vec::with_capacity(named.len());
    let mut places = HashMap::with_capacity(named.len());
    for (at, (name, values)) in named.into_iter().enumerate() {
        match places.entry(name.clone()) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push((name, values));
            }
            Entry::Occupied(place) => merged[*place.get()].1.extend(values),
        }
        if at % STEP == STEP - 1 {
            yield_if_needed().await;
        }
    }
    for (_, values) in merged.iter_mut().filter(|(_, values)| values.len() > 1) {
        let mut kept: Vec<V> = Vec::with_capacity(values.len());
        let mut places = HashMap::with_capacity(values.len());
        for (at, value) in std::mem::take(values).into_iter().enumerate() {
            match places.entry(key(&value)) {
                Entry::Vacant(place) => {
                    place.insert(kept.len());
                    kept.push(value);
                }
                Entry::Occupied(place) => kept[*place.get()] = value,
            }
            if at % STEP == STEP - 1 {
                yield_if_needed().await;
            }
        }
        *values = kept;
    }
    merged
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// What is short is answered without giving way.
    fn at_once<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing is waited for")
    }

    #[test]
    fn d11_what_is_named_again_stands_where_it_was_named_first() {
        assert_eq!(at_once(distinct(vec!["b", "a", "b", "c", "a"])), ["b", "a", "c"]);
        assert_eq!(at_once(distinct(vec!["b"])), ["b"]);
        assert!(at_once(distinct(Vec::<String>::new())).is_empty());
    }

    #[test]
    fn d11_names_are_merged_and_the_last_value_of_a_key_counts() {
        let named = vec![("t", vec![(1, 'a'), (0, 'b')]), ("u", vec![]), ("t", vec![(2, 'c'), (1, 'd')])];
        let merged = at_once(distinct_by_name(named, |(partition, _)| *partition));
        assert_eq!(merged, [("t", vec![(1, 'd'), (0, 'b'), (2, 'c')]), ("u", vec![])]);
    }
}
