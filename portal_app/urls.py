"""Paths of the developer portal, below `/portal/`."""

from django.urls import path

from portal_app import views

app_name = "portal"
urlpatterns = [
    path("", views.KeyList.as_view(), name="keys"),
    path("keys/<str:key_id>/", views.KeyDetail.as_view(), name="key"),
    path("emails/", views.Emails.as_view(), name="emails"),
    path("login/", views.PortalLogin.as_view(), name="login"),
    path("logout/", views.PortalLogout.as_view(), name="logout"),
    path("password/", views.PasswordChange.as_view(), name="password"),
]
