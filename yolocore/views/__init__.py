"""What people see of the work: live progress while it runs, figures and pages made from records after it."""
