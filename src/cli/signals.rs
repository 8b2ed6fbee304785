//! When a running command is told to stop.

use std::io::Read as _;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Returns at SIGTERM or Ctrl-C, and for a child of the demo also when its standard input closes.
pub(super) async fn until_told_to_stop(when_stdin_closes: bool) {
    tokio::select! {
        () = told_by(SignalKind::terminate()) => {}
        () = told_by(SignalKind::interrupt()) => {}
        () = stdin_closed(), if when_stdin_closes => {}
    }
}

/// Each SIGHUP from now on.
///
/// # Errors
/// When the system lets nobody hear of it.
pub(super) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

async fn told_by(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "a signal cannot be heard, so a stop must be forced with SIGKILL; work is then taken over by its leases");
            std::future::pending::<()>().await;
        }
    }
}

/// Reads on a thread of its own: a read of standard input cannot be given up.
async fn stdin_closed() {
    let (sender, closed) = oneshot::channel();
    std::thread::spawn(move || {
        let mut bytes = [0_u8; 256];
        while std::io::stdin().lock().read(&mut bytes).is_ok_and(|count| count > 0) {}
        let _ = sender.send(());
    });
    let _ = closed.await;
}
