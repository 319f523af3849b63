"""Arrays as they come from outside: made NumPy's, and checked before anything is concluded from them.

`conversion` takes whatever holds numbers or names, `distributions` says which rows are probabilities of classes, `labels`
which class each label means. What is wrong is said here, in the same words whoever was handed it.
"""
