"""The pages of monitors_app outside the admin; the project puts them below `/portal/`."""

from django.urls import path

from monitors_app.views import unsubscribe

app_name = "monitors"
urlpatterns = [path("unsubscribe/<str:token>", unsubscribe, name="unsubscribe")]
