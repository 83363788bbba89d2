//! The admin lane: clients of `admin-port` are served before the others. When many clients are ready, their turns follow one another and
//! the event loop looks at its sockets only now and then; so these sockets are looked at directly, after the turn that ends a millisecond
//! or more since the last look. At other times their tasks serve them like everybody's.

use std::rc::Rc;

use engine::{Engine, System as _};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::doors::Listener;
use crate::meanwhile;
use crate::shell::Shell;

impl Shell {
    /// Serves the admin lane, if it is time. To be called between two turns.
    #[inline]
    pub(crate) fn serve_admins(self: &Rc<Self>, engine: &mut Engine) {
        if self.admins.open.get() && self.admins.is_due(self.machine.mono_ns()) {
            serve(self, engine);
        }
    }
}

fn serve(shell: &Rc<Shell>, engine: &mut Engine) {
    let doors: Vec<Listener> = {
        let doors = shell.doors.borrow();
        let all = doors.iter().map(|door| &door.listener);
        let ours = all.filter(|door| matches!(door, Listener::Admin(_)));
        ours.cloned().collect()
    };
    let clients = shell.admins.clients.borrow().clone();
    // A client whose own task runs just now is served by it.
    let mut open: Vec<_> = clients
        .iter()
        .filter_map(|(id, stream)| Some((*id, stream.try_borrow_mut().ok()?)))
        .collect();
    let ready: Vec<bool> = {
        let sockets = doors
            .iter()
            .map(Listener::as_fd)
            .chain(open.iter().map(|(_, stream)| stream.as_fd()));
        let mut polled: Vec<PollFd<'_>> = sockets
            .map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN))
            .collect();
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if !poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready > 0) {
            return;
        }
        polled
            .iter()
            .map(|polled| !polled.revents().is_empty())
            .collect()
    };
    engine.set_now(shell.machine.now());
    // What was changed before this is acknowledged by what is sent here.
    if !engine.flush_append_only() {
        return;
    }
    let (at_doors, of_clients) = ready.split_at(doors.len());
    for (door, _) in doors.iter().zip(at_doors).filter(|(_, ready)| **ready) {
        // Nobody is waiting any more, or nobody can be let in now; the door's task will see.
        let _ = meanwhile::accept(shell, engine, door);
    }
    for ((id, stream), _) in open.iter_mut().zip(of_clients).filter(|(_, ready)| **ready) {
        meanwhile::run_waiting(shell, engine, *id);
        meanwhile::serve(shell, engine, *id, &mut **stream);
    }
    engine.end_turn();
}
