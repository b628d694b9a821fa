"""What people see: the console, JUnit, JSON, text, drawings and the HTML report."""
