//! A plan that fails, cut down: what can be left out of it while it still fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::{Duration, Instant};

use super::images::{is_quiet, quietly};
use super::plan::{Generation, Plan};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is left out changes the order in which the disk works; so a cut is tried with so many orders.
const ORDERS: u64 = 4;

/// The smallest plan that was found to fail. `plan` does.
pub(super) fn shrink(plan: &Plan, play: impl Fn(&Plan)) -> Plan {
    let deadline = Instant::now() + PATIENCE;
    let fails = |plan: &Plan| {
        let orders = (0..ORDERS).map(|order| Plan { seed: plan.seed.wrapping_add(order), ..plan.clone() });
        orders.take_while(|_| Instant::now() < deadline).find(|plan| panics(|| play(plan)))
    };
    let mut smallest = plan.clone();
    loop {
        let before = size(&smallest);
        for cut in cuts(&smallest) {
            // The list was made of a larger plan: what is cut already is not there to be cut.
            if let Some(failing) = apply(&smallest, &cut).and_then(|candidate| fails(&candidate)) {
                smallest = failing;
            }
        }
        if size(&smallest) == before || Instant::now() >= deadline {
            return smallest;
        }
    }
}

fn panics(body: impl FnOnce()) -> bool {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !is_quiet() {
                tell(info);
            }
        }));
    });
    quietly(|| catch_unwind(AssertUnwindSafe(body)).is_err())
}

fn size(plan: &Plan) -> usize {
    let of = |generation: &Generation| {
        1 + generation.operations.len()
            + 2 * generation.attempts.len()
            + usize::from(generation.stop_after.is_some())
    };
    plan.generations.iter().map(of).sum()
}

/// One thing that can be left out.
enum Cut {
    Generation(usize),
    Attempt(usize, usize),
    StopAfter(usize),
    /// So many operations of a generation, counted from its end: what happened last matters most often, and
    /// is tried last.
    Operations {
        generation: usize,
        from_end: usize,
        count: usize,
    },
}

/// The largest first.
fn cuts(plan: &Plan) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for (at, generation) in plan.generations.iter().enumerate() {
        cuts.push(Cut::Generation(at));
        cuts.extend((0..generation.attempts.len()).rev().map(|attempt| Cut::Attempt(at, attempt)));
        cuts.push(Cut::StopAfter(at));
    }
    cuts.reverse();
    for (at, generation) in plan.generations.iter().enumerate() {
        let length = generation.operations.len();
        let mut count = length;
        while count > 0 {
            let ends = (0..length).step_by(count).rev();
            cuts.extend(ends.map(|from_end| Cut::Operations { generation: at, from_end, count }));
            count /= 2;
        }
    }
    cuts
}

fn apply(plan: &Plan, cut: &Cut) -> Option<Plan> {
    let mut plan = plan.clone();
    match cut {
        Cut::Generation(at) if *at < plan.generations.len() => drop(plan.generations.remove(*at)),
        Cut::Attempt(at, attempt) => {
            let attempts = &mut plan.generations.get_mut(*at)?.attempts;
            if *attempt >= attempts.len() {
                return None;
            }
            attempts.remove(*attempt);
        }
        Cut::StopAfter(at) => drop(plan.generations.get_mut(*at)?.stop_after.take()?),
        Cut::Operations { generation, from_end, count } => {
            let operations = &mut plan.generations.get_mut(*generation)?.operations;
            let end = operations.len().checked_sub(*from_end).filter(|end| *end > 0)?;
            operations.drain(end.saturating_sub(*count)..end);
        }
        Cut::Generation(_) => return None,
    }
    Some(plan)
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Operation, Trouble};
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let is_deletion = |operation: &Operation| matches!(operation, Operation::DeleteTopic { .. });
        let deletions = |plan: &Plan| {
            let all = plan.generations.iter().flat_map(|generation| &generation.operations);
            all.filter(|operation| is_deletion(operation)).count()
        };
        let seed = (0..).find(|seed| deletions(&Plan::random(*seed, Trouble::default(), 5)) >= 2);
        let plan = Plan::random(seed.expect("some have two"), Trouble::default(), 5);
        let smallest = shrink(&plan, |plan| assert!(deletions(plan) < 2, "two deletions are one too many"));
        assert_eq!(deletions(&smallest), 2);
        let operations: usize =
            smallest.generations.iter().map(|generation| generation.operations.len()).sum();
        assert_eq!(operations, 2, "{smallest:#?}");
        assert!(smallest.generations.len() <= 2, "{smallest:#?}");
    }
}
