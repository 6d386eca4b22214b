//! A connection's identity: the address of its socket.
//!
//! uWebSockets.js keeps it in the first internal field of every response object, the same for every request of a
//! connection. V8's C++ API reads it; every Node that can load the uWebSockets.js binary exports that function, as
//! the binary itself needs it. Where the symbol is missing there is no identity, and the certificate is read for
//! every request instead.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

use napi::sys::napi_value;

type InternalField = unsafe extern "C" fn(object: *const c_void, index: c_int) -> *mut c_void;

static READER: OnceLock<Option<InternalField>> = OnceLock::new();

/// Whether connections can be told apart here. `PORTCULLIS_IDENTITY=request` switches it off, for the test of the
/// slower way.
pub fn available() -> bool {
    reader().is_some()
}

/// The connection that a response object belongs to; 0 without identity, or once the response is over.
pub fn of(response: napi_value) -> usize {
    match reader() {
        // SAFETY: a napi_value of an object is the address of its handle, which is what a `v8::Object*` is; response
        // objects are made from a template with internal fields, and the door is only handed those.
        Some(read) => unsafe { read(response.cast::<c_void>(), 0) as usize },
        None => 0,
    }
}

fn reader() -> Option<InternalField> {
    *READER.get_or_init(|| {
        if std::env::var_os("PORTCULLIS_IDENTITY").is_some_and(|value| value == "request") {
            return None;
        }
        // SAFETY: a look-up by name; null when it is not there.
        let symbol = unsafe {
            libc::dlsym(libc::RTLD_DEFAULT, c"_ZN2v86Object38SlowGetAlignedPointerFromInternalFieldEi".as_ptr())
        };
        // SAFETY: the mangled name fixes the signature: `void* Object::SlowGetAlignedPointerFromInternalField(int)`.
        (!symbol.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, InternalField>(symbol) })
    })
}
