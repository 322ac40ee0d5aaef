"""What a part costs, what a backbone and a machine can do, and what a plug-in owes."""
