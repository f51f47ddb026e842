"""Head-end: takes in what gateways send, opens their sessions, and carries the cloud's facts down to them."""
