//! graph: who waits for whom. Touches nothing.
