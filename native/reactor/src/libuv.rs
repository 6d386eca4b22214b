//! The part of libuv that is used, found in the running process.
//!
//! The node binary exports its libuv. Declared as plain `extern "C"`, the names would have to be there when a test
//! binary is linked; looked up once at run time, they need not.

use std::ffi::{CStr, c_int, c_void};
use std::mem;
use std::sync::OnceLock;

/// A `uv_handle_t` of any kind.
#[repr(C)]
pub struct Handle {
    opaque: [u8; 0],
}

/// `uv_handle_type`: the numbers are part of libuv's ABI since 1.0.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub enum HandleKind {
    Async = 1,
    Check = 2,
    Idle = 6,
    Poll = 8,
    Timer = 13,
}

/// `uv_poll_event`.
pub const READABLE: c_int = 1;
pub const WRITABLE: c_int = 2;

pub type Callback = unsafe extern "C" fn(*mut Handle);
pub type PollCallback = unsafe extern "C" fn(*mut Handle, c_int, c_int);

macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*) $(-> $answer:ty)?;)*) => {
        /// The functions that are called.
        #[allow(missing_docs)]
        pub struct Uv {
            $(pub $field: unsafe extern "C" fn($($argument),*) $(-> $answer)?,)*
        }

        impl Uv {
            fn find() -> Option<Uv> {
                Some(Uv {
                    // SAFETY: the signatures are those of libuv 1.19 and later.
                    $($field: unsafe {
                        mem::transmute::<*mut c_void, unsafe extern "C" fn($($argument),*) $(-> $answer)?>(symbol($symbol)?)
                    },)*
                })
            }
        }
    };
}

functions! {
    handle_size = c"uv_handle_size": fn(c_int) -> usize;
    handle_get_data = c"uv_handle_get_data": fn(*const Handle) -> *mut c_void;
    handle_set_data = c"uv_handle_set_data": fn(*mut Handle, *mut c_void);
    unref = c"uv_unref": fn(*mut Handle);
    close = c"uv_close": fn(*mut Handle, Option<Callback>);
    is_closing = c"uv_is_closing": fn(*const Handle) -> c_int;
    now = c"uv_now": fn(*const c_void) -> u64;
    poll_init_socket = c"uv_poll_init_socket": fn(*mut c_void, *mut Handle, c_int) -> c_int;
    poll_start = c"uv_poll_start": fn(*mut Handle, c_int, PollCallback) -> c_int;
    poll_stop = c"uv_poll_stop": fn(*mut Handle) -> c_int;
    check_init = c"uv_check_init": fn(*mut c_void, *mut Handle) -> c_int;
    check_start = c"uv_check_start": fn(*mut Handle, Callback) -> c_int;
    idle_init = c"uv_idle_init": fn(*mut c_void, *mut Handle) -> c_int;
    idle_start = c"uv_idle_start": fn(*mut Handle, Callback) -> c_int;
    idle_stop = c"uv_idle_stop": fn(*mut Handle) -> c_int;
    async_init = c"uv_async_init": fn(*mut c_void, *mut Handle, Option<Callback>) -> c_int;
    async_send = c"uv_async_send": fn(*mut Handle) -> c_int;
    timer_init = c"uv_timer_init": fn(*mut c_void, *mut Handle) -> c_int;
    timer_start = c"uv_timer_start": fn(*mut Handle, Callback, u64, u64) -> c_int;
    timer_stop = c"uv_timer_stop": fn(*mut Handle) -> c_int;
}

impl Uv {
    /// None where the process exports no libuv.
    #[must_use]
    pub fn get() -> Option<&'static Uv> {
        static UV: OnceLock<Option<Uv>> = OnceLock::new();
        UV.get_or_init(Uv::find).as_ref()
    }
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a lookup by a name that ends in NUL.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}
