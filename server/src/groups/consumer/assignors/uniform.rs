//! The assignor `uniform` where all members are subscribed to the same topics: each keeps what it has up to
//! its share, and what nobody has goes to those that have less. Where the partitions do not divide, some
//! members get one more: those that have it already come first.

use super::Group;
use crate::coordination::Pace;
use crate::groups::consumer::assignment::Assignment;

pub(super) async fn assign(group: &Group, pace: &Pace) -> Vec<Assignment> {
    let topics = group.topics_of(&group.members[0]);
    // All partitions in one row: where those of each topic begin.
    let mut begins = vec![None; group.topics.len()];
    let mut total = 0;
    for place in topics {
        begins[*place as usize] = Some(total);
        total += group.topics[*place as usize].partitions as usize;
    }
    pace.step(topics.len()).await;
    let mut is_known = vec![false; total];
    let members = group.members.len();
    let (share, mut extra) = (total / members, total % members);
    let mut assigned = Vec::with_capacity(members);
    let (mut lacking, mut freed) = (Vec::new(), Vec::new());
    for (at, member) in group.members.iter().enumerate() {
        let mut may_have_extra = extra > 0;
        let mut left = share + usize::from(may_have_extra);
        let mut own = Assignment::default();
        for (topic, partitions) in member.assignment.topics() {
            pace.step(1 + 2 * partitions.len()).await;
            let Some(place) = group.place(topic) else { continue };
            let Some(begin) = begins[place as usize] else { continue };
            let count = group.topics[place as usize].partitions as i32;
            for partition in partitions.range(0..count.max(0)) {
                if std::mem::replace(&mut is_known[begin + *partition as usize], true) {
                    continue;
                }
                match left {
                    0 => freed.push((topic, *partition)),
                    _ => {
                        left -= 1;
                        own.insert(topic, *partition);
                    }
                }
            }
        }
        // Others may have the one more that this one does not have, while there are enough of them.
        if left > 0 && may_have_extra && members - at > extra {
            (left, may_have_extra) = (left - 1, false);
        }
        if left > 0 {
            lacking.push((at, left));
        }
        extra -= usize::from(may_have_extra);
        assigned.push(own);
        pace.step(1).await;
    }
    let all = topics.iter().map(|place| group.topics[*place as usize]);
    let all = all.flat_map(|topic| (0..topic.partitions as i32).map(move |at| (topic.id, at)));
    let mut free = all.zip(is_known).filter(|(_, is_known)| !is_known).map(|(at, _)| at).chain(freed);
    for (at, left) in lacking {
        for (topic, partition) in free.by_ref().take(left) {
            assigned[at].insert(topic, partition);
            pace.step(2).await;
        }
    }
    debug_assert_eq!(free.next(), None, "the shares add up to the partitions");
    assigned
}
