//! The base as it was last read or written, so that the next sync of the same process need not read it again.

use std::sync::{Arc, Mutex, PoisonError};

use crate::snapshot::Base;
use crate::table::BasePointer;

/// One base, and where in which lineage it lies.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Option<(u64, BasePointer, Arc<Base>)>>);

impl Memory {
    pub(super) fn get(&self, lineage: u64, pointer: BasePointer) -> Option<Arc<Base>> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.as_ref().filter(|(of, at, _)| (*of, *at) == (lineage, pointer)).map(|(_, _, base)| Arc::clone(base))
    }

    pub(super) fn keep(&self, lineage: u64, pointer: BasePointer, base: Base) -> Arc<Base> {
        let base = Arc::new(base);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((lineage, pointer, Arc::clone(&base)));
        base
    }

    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
