"""Request budgets and connection budgets: counted here, waited for by the caller."""
