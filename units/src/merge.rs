//! merge: fragments and drop-ins of one unit, laid over each other, specifiers expanded. Touches nothing.
