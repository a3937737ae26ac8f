//! Tasks that begin in order, and end as they like.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::task::JoinSet;

/// Spawns `work` after it has gone as far as it can at once. A task of its own is begun whenever a thread takes it, in no order; what is
/// begun here has spoken to the node before this returns, if it waits for nothing else first.
pub(crate) fn spawn_begun<T: Send + 'static>(
    tasks: &mut JoinSet<T>,
    work: impl Future<Output = T> + Send + 'static,
) {
    tasks.spawn(begin(work));
}

/// The same for a task that nobody waits for.
pub(crate) fn begun(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(begin(work));
}

/// What is left of `work` after its first step. Nobody need be woken by that: whoever waits for the rest asks again. A panic is the task's.
fn begin<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send + 'static {
    let mut work: Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(work);
    let mut nobody = Context::from_waker(Waker::noop());
    let first = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut nobody)));
    async move {
        match first {
            Ok(Poll::Ready(result)) => result,
            Ok(Poll::Pending) => work.await,
            Err(panic) => resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn tasks_begin_in_order_and_all_of_them_end() {
        let (begun, mut tasks) = (Arc::new(Mutex::new(Vec::new())), JoinSet::new());
        for n in 0..200 {
            let begun = begun.clone();
            spawn_begun(&mut tasks, async move {
                begun.lock().expect("no panic").push(n);
                if n % 2 == 0 {
                    tokio::task::yield_now().await;
                }
                n
            });
        }
        assert_eq!(*begun.lock().expect("no panic"), (0..200).collect::<Vec<_>>());
        let mut ended = tasks.join_all().await;
        ended.sort_unstable();
        assert_eq!(ended, (0..200).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_panic_is_the_tasks() {
        let mut tasks: JoinSet<()> = JoinSet::new();
        spawn_begun(&mut tasks, async { panic!("in its first step") });
        assert!(tasks.join_next().await.expect("a task").expect_err("it panicked").is_panic());
    }
}
