//! Program of this process, to be started again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::{env, fmt, io};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Variable that tells a new process that it takes over, and where: `SECRET@PATH`. The secret proves to the old one that
/// it is the one it has started.
const TAKE_OVER: &str = "EMBEDGATE_TAKE_OVER";

/// Variables of this process alone: sockets and a watchdog that systemd has given to its process id.
const OWN: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// Argument of the first start alone.
const ONCE: &str = "--new-store";

/// Path and arguments by which this process was started.
#[derive(Clone, Debug)]
pub(in crate::app) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// The program of this process. Links are not followed, so a package that sets one to a new version is found.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub(in crate::app) fn of_this_process() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let name = arguments.next().map(PathBuf::from).unwrap_or_default();
        let path = if name.components().count() > 1 {
            env::current_dir()?.join(name)
        } else {
            let folders = env::var_os("PATH").unwrap_or_default();
            let found =
                env::split_paths(&folders).map(|folder| folder.join(&name)).find(|path| path.is_file());
            match found {
                Some(path) => path,
                None => env::current_exe()?,
            }
        };
        Ok(Self { path, arguments: arguments.filter(|argument| argument != ONCE).collect() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts the program, to take over from the process that listens at this path.
    ///
    /// # Errors
    ///
    /// There is no program, or the system refuses.
    pub(super) fn start(&self, secret: &str, socket: &Path) -> io::Result<NewProcess> {
        let mut take_over = OsString::from(secret);
        take_over.push("@");
        take_over.push(socket);
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env(TAKE_OVER, take_over);
        for name in OWN {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).spawn().map(|child| NewProcess(Some(child)))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// New process, which is ended with this unless it is let go.
pub(super) struct NewProcess(Option<Child>);

impl NewProcess {
    /// Its id, as long as it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.0.as_ref().and_then(Child::id)
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        match &mut self.0 {
            Some(child) => child.wait().await,
            None => std::future::pending().await,
        }
    }

    /// Ends it, and waits until it has.
    pub(super) async fn kill(mut self) {
        if let Some(mut child) = self.0.take() {
            // An error means that it has ended already.
            let _ = child.kill().await;
        }
    }

    /// Lets it go on when this process ends, and notes its end until then.
    pub(super) fn let_go(mut self) {
        if let Some(mut child) = self.0.take() {
            drop(tokio::spawn(async move { child.wait().await }));
        }
    }
}

impl Drop for NewProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // An error means that it has ended already.
            let _ = child.start_kill();
        }
    }
}

/// Passes SIGHUP on to a process.
pub(in crate::app) fn hang_up(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // An error means that it is gone.
    let _ = pid.map(|pid| kill_process(pid, Signal::HUP));
}

/// The secret that this process was started with to take over, and the socket of the process to be relieved.
pub(super) fn take_over() -> Option<(String, PathBuf)> {
    let said = env::var_os(TAKE_OVER)?.into_string().ok()?;
    let (secret, path) = said.split_once('@')?;
    Some((secret.to_owned(), path.into()))
}
