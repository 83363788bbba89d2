//! The engine in its shell: turns, wake-ups, the timer.

use std::cell::RefCell;
use std::task::Waker;
use std::time::Duration;

use engine::{Action, ClientId, Engine};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use crate::host::Machine;

/// Bytes read from a socket at once. One buffer serves all connections.
const SCRATCH_BYTES: usize = 64 * 1024;

/// What all tasks of the one thread share.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) engine: RefCell<Engine>,
    pub(crate) machine: Machine,
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// The task of each client, by its place.
    tasks: RefCell<Vec<Option<Waker>>>,
    exit: RefCell<Option<oneshot::Sender<u8>>>,
}

impl Shell {
    pub(crate) fn new(engine: Engine, machine: Machine) -> Self {
        Self {
            engine: RefCell::new(engine),
            machine,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            tasks: RefCell::default(),
            exit: RefCell::default(),
        }
    }

    /// Runs until the engine says that the process is to end; the exit code.
    pub(crate) async fn run(&self) -> u8 {
        let (sender, mut exit) = oneshot::channel();
        *self.exit.borrow_mut() = Some(sender);
        let mut timer = tokio::time::interval(Duration::from_millis(100));
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                code = &mut exit => return code.unwrap_or(1),
                _ = timer.tick() => {
                    let mut engine = self.engine.borrow_mut();
                    engine.set_now(self.machine.now());
                    engine.tick();
                    self.after_turn(&mut engine);
                }
            }
        }
    }

    /// To be called whenever the engine did something: performs its actions and wakes the clients that have something to send.
    pub(crate) fn after_turn(&self, engine: &mut Engine) {
        engine.end_turn();
        while let Some(action) = engine.poll_action() {
            self.perform(action);
        }
        for id in engine.take_woken() {
            self.wake(id);
        }
    }

    fn perform(&self, action: Action) {
        match action {
            Action::CloseClient { id, .. } => self.wake(id),
            Action::Exit { code } => {
                if let Some(exit) = self.exit.borrow_mut().take() {
                    // The receiver is gone only when the process ends already.
                    let _ = exit.send(u8::try_from(code).unwrap_or(1));
                }
            }
        }
    }

    /// Remembers the task that serves a client.
    pub(crate) fn set_task(&self, id: ClientId, waker: &Waker) {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.len() <= id.0 {
            tasks.resize(id.0 + 1, None);
        }
        match &mut tasks[id.0] {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn wake(&self, id: ClientId) {
        if let Some(Some(waker)) = self.tasks.borrow().get(id.0) {
            waker.wake_by_ref();
        }
    }

    /// The client is gone.
    pub(crate) fn forget_task(&self, id: ClientId) {
        if let Some(task) = self.tasks.borrow_mut().get_mut(id.0) {
            *task = None;
        }
    }
}
