//! Questions about partitions, which shards answer by their mailboxes: one after the other, each would wait
//! for a turn of its shard.

use futures_util::future::join_all;
use strandline_engine::reactor::yield_if_needed;

/// Questions that are out at a time, of one request.
pub(super) const AT_A_TIME: usize = 128;

/// The answers, in the order of the questions, [`AT_A_TIME`] of which are asked at once.
pub(super) async fn together<Q, A>(questions: &[Q], ask: impl AsyncFn(&Q) -> A) -> Vec<A> {
    let mut answers = Vec::with_capacity(questions.len());
    for (group, some) in questions.chunks(AT_A_TIME).enumerate() {
        if group > 0 {
            yield_if_needed().await;
        }
        answers.extend(join_all(some.iter().map(|question| ask(question))).await);
    }
    answers
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_channel::oneshot;
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_question_does_not_wait_for_the_answer_to_the_one_before() {
        let (sender, receiver) = oneshot::channel();
        let (sender, receiver) = (RefCell::new(Some(sender)), RefCell::new(Some(receiver)));
        let questions: Vec<usize> = (0..AT_A_TIME).collect();
        let answers = together(&questions, async |question| {
            // The first one is answered when the last one was asked.
            if *question == 0 {
                let last = receiver.take().expect("it is asked once");
                return last.await.expect("the last one says so");
            }
            if *question == AT_A_TIME - 1 {
                sender.take().expect("it is asked once").send(0).expect("the first one waits");
            }
            *question
        });
        assert_eq!(
            answers.now_or_never(),
            Some(questions.clone()),
            "all are out at once, and keep their order"
        );
    }
}
