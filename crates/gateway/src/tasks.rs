//! Tasks that begin in order, and end as they like.

use std::future::{Future, ready};
use std::task::{Context, Poll, Waker};

use tokio::task::JoinSet;

/// Spawns `work` after it has gone as far as it can at once. A task of its own is begun whenever a thread takes it, in no order; what is
/// begun here has spoken to the node before this returns, if it waits for nothing else first.
pub(crate) fn spawn_begun<T: Send + 'static>(
    tasks: &mut JoinSet<T>,
    work: impl Future<Output = T> + Send + 'static,
) {
    let mut work = Box::pin(work);
    // Nobody need be woken: the task asks again.
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => tasks.spawn(ready(result)),
        Poll::Pending => tasks.spawn(work),
    };
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
}
