//! Attacks: each is ended or limited, others are served, and memory and CPU stay bounded.
